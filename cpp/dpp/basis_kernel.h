// What the basis of a window needs, in float64. Included by files of one instruction set.
#pragma once

#include "dpp/lists_kernel.h"

namespace hr {
namespace {

void widen(const float* x, int64_t n, double* out) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) Vec64::load(x + i).store(out + i);
    for (; i < n; ++i) out[i] = static_cast<double>(x[i]);
    for (; i % kBlock; ++i) out[i] = 0.0;
}

void scale(const double* x, int64_t n, double by, double* out) {
    for (int64_t i = 0; i < n; i += kLanes) (Vec64::all(by) * Vec64::load(x + i)).store(out + i);
}

void narrow(const double* x, int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(x[i]);
}

// rest -= sum_t weight[t] * row t over B blocks from column c on.
template <int B>
void take_away(Rows<double> rows, int64_t count, const double* weight, int64_t c, double* rest) {
    Vec64 x[B * kBlockVecs];
    for (int v = 0; v < B * kBlockVecs; ++v) x[v] = Vec64::load(rest + c + v * kLanes);
    for (int64_t t = 0; t < count; ++t) {
        const Vec64 w = Vec64::all(-weight[t]);
        for (int v = 0; v < B * kBlockVecs; ++v) x[v] = fused(w, Vec64::load(rows.at(t) + c + v * kLanes), x[v]);
    }
    for (int v = 0; v < B * kBlockVecs; ++v) x[v].store(rest + c + v * kLanes);
}

// Products of x with R rows, whose blocks share the loads of x.
template <int R>
__attribute__((always_inline)) inline void products_of(const double* row, int64_t stride, const double* x,
                                                       double* out) {
    Vec64 sum[R][kBlockVecs];
    for (auto& of_row : sum)
        for (Vec64& s : of_row) s = Vec64::zero();
    for (int64_t c = 0; c < stride; c += kBlock)
        for (int v = 0; v < kBlockVecs; ++v) {
            const Vec64 b = Vec64::load(x + c + v * kLanes);
            for (int r = 0; r < R; ++r) sum[r][v] = fused(Vec64::load(row + r * stride + c + v * kLanes), b, sum[r][v]);
        }
    for (int r = 0; r < R; ++r) out[r] = total(sum[r]);
}

void products(Rows<double> rows, int64_t count, const double* x, double* out) {
    constexpr int kRows = kLanes == 1 ? 1 : 4;
    int64_t t = 0;
    for (; t + kRows <= count; t += kRows) products_of<kRows>(rows.at(t), rows.stride, x, out + t);
    for (; t < count; ++t) products_of<1>(rows.at(t), rows.stride, x, out + t);
}

double subtract(Rows<double> rows, int64_t count, const double* weight, double* rest) {
    constexpr int kBlocks = kLanes == 8 ? 8 : kLanes == 4 ? 4 : 1;
    int64_t c = 0;
    for (; c + kBlocks * kBlock <= rows.stride; c += kBlocks * kBlock) take_away<kBlocks>(rows, count, weight, c, rest);
    for (; c < rows.stride; c += kBlock) take_away<1>(rows, count, weight, c, rest);
    double square;
    products_of<1>(rest, rows.stride, rest, &square);
    return square;
}

void rotate(double* x, double* y, int64_t n, double c, double s) {
    const Vec64 cosine = Vec64::all(c), sine = Vec64::all(s);
    for (int64_t i = 0; i < n; i += kLanes) {
        const Vec64 a = Vec64::load(x + i), b = Vec64::load(y + i);
        (cosine * a + sine * b).store(x + i);
        (cosine * b - sine * a).store(y + i);
    }
}

}  // namespace
}  // namespace hr
