// Beam search's inner kernels, written once for Vec64. Every output has its own lane and sums its inputs in one fixed
// order with fused multiply-adds, so all instruction sets give the same bits.
#pragma once

#include "beam_search/kernels.h"
#include "core/simd64.h"

namespace hr {
namespace {

constexpr int kVecs = static_cast<int>(kPanel) / Vec64::kLanes;
// The block of outputs that fits the registers: rows x panels.
constexpr int kRows = kVecs == 1 ? 8 : kVecs == 2 ? 4 : 1;
constexpr int kPanels = kVecs == 1 ? 3 : 1;

template <int R, int P>
void affine_block(const double* x, int64_t width, const double* weight, const double* bias, int64_t stride,
                  double* out) {
    Vec64 sum[R][P][kVecs];
    for (int r = 0; r < R; ++r)
        for (int p = 0; p < P; ++p)
            for (int v = 0; v < kVecs; ++v) sum[r][p][v] = Vec64::load(bias + p * kPanel + v * Vec64::kLanes);
    for (int64_t i = 0; i < width; ++i)
        for (int p = 0; p < P; ++p)
            for (int v = 0; v < kVecs; ++v) {
                const Vec64 w = Vec64::load(weight + (p * width + i) * kPanel + v * Vec64::kLanes);
                for (int r = 0; r < R; ++r) sum[r][p][v] = fused(Vec64::all(x[r * width + i]), w, sum[r][p][v]);
            }
    for (int r = 0; r < R; ++r)
        for (int p = 0; p < P; ++p)
            for (int v = 0; v < kVecs; ++v) sum[r][p][v].store(out + r * stride + p * kPanel + v * Vec64::kLanes);
}

// All panels for rows in blocks of R, then of R / 2, ... 1.
template <int R, int P>
void affine_rows(const double* x, int64_t rows, int64_t width, const double* weight, const double* bias, int64_t stride,
                 double* out) {
    int64_t r = 0;
    for (; r + R <= rows; r += R) affine_block<R, P>(x + r * width, width, weight, bias, stride, out + r * stride);
    if constexpr (R > 1)
        if (r < rows) affine_rows<R / 2, P>(x + r * width, rows - r, width, weight, bias, stride, out + r * stride);
}

template <int P>
void affine_panels(const double* x, int64_t rows, int64_t width, const double* weight, const double* bias,
                   int64_t panels, int64_t stride, double* out) {
    int64_t p = 0;
    for (; p + P <= panels; p += P)
        affine_rows<kRows, P>(x, rows, width, weight + p * width * kPanel, bias + p * kPanel, stride, out + p * kPanel);
    if constexpr (P > 1)
        if (p < panels)
            affine_panels<P - 1>(x, rows, width, weight + p * width * kPanel, bias + p * kPanel, panels - p, stride,
                                 out + p * kPanel);
}

void affine(const double* x, int64_t rows, int64_t width, const double* weight, const double* bias, int64_t panels,
            double* out) {
    affine_panels<kPanels>(x, rows, width, weight, bias, panels, panels * kPanel, out);
}

void hidden(const double* base, const double* const* rows, int64_t count, int64_t hidden, double* out) {
    for (int64_t h = 0; h < hidden; h += Vec64::kLanes) {
        Vec64 sum = Vec64::load(base + h);
        for (int64_t i = 0; i < count; ++i) sum = sum + Vec64::load(rows[i] + h);
        max(sum, Vec64::zero()).store(out + h);
    }
}

constexpr double kFactorial[] = {
    1.0,        1.0,         1.0 / 2,      1.0 / 6,       1.0 / 24,       1.0 / 120,       1.0 / 720,
    1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};

// exp(x) for x <= 0, within 2 units in the last place; below -708, where it no longer adds to 1, 2^-1021 or so.
inline Vec64 exp_of(Vec64 x) {
    const Vec64 magic = Vec64::all(6755399441055744.0);  // 1.5 * 2^52: adding it rounds to an integer in the low bits
    x = max(x, Vec64::all(-708.0));
    const Vec64 shifted = fused(x, Vec64::all(1.4426950408889634), magic);
    const Vec64 n = shifted - magic;
    Vec64 r = fused(n, Vec64::all(-0x1.62e42fefa39efp-1), x);  // ln 2, high part
    r = fused(n, Vec64::all(-0x1.abc9e3b39803fp-56), r);       // ln 2, low part
    Vec64 sum = Vec64::all(kFactorial[13]);
    for (int i = 12; i >= 0; --i) sum = fused(sum, r, Vec64::all(kFactorial[i]));
    return scaled(sum, shifted);
}

double sum_exp(const double* x, int64_t panels, double* peak) {
    double lanes[kPanel];
    const int64_t n = panels * kPanel;
    Vec64 best = Vec64::load(x);
    for (int64_t i = Vec64::kLanes; i < n; i += Vec64::kLanes) best = max(best, Vec64::load(x + i));
    best.store(lanes);
    double top = lanes[0];
    for (int i = 1; i < Vec64::kLanes; ++i) top = lanes[i] > top ? lanes[i] : top;
    *peak = top;
    Vec64 sum[kVecs];
    for (Vec64& s : sum) s = Vec64::zero();
    for (int64_t p = 0; p < n; p += kPanel)
        for (int v = 0; v < kVecs; ++v)
            sum[v] = sum[v] + exp_of(Vec64::load(x + p + v * Vec64::kLanes) - Vec64::all(top));
    for (int v = 0; v < kVecs; ++v) sum[v].store(lanes + v * Vec64::kLanes);
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

int64_t admit(const double* x, int64_t nodes, double norm, Partial parent, double floor, Partial* out) {
    int64_t count = 0;
    const Vec64 least = Vec64::all(floor);
    for (int64_t c = 0; c < nodes; c += Vec64::kLanes) {
        const Vec64 logp = Vec64::all(parent.logp) + (Vec64::load(x + c) - Vec64::all(norm));
        uint32_t chosen = at_least(logp, least);
        if (nodes - c < Vec64::kLanes) chosen &= (1u << (nodes - c)) - 1u;
        if (!chosen) continue;
        double lanes[Vec64::kLanes];
        logp.store(lanes);
        for (; chosen; chosen &= chosen - 1) {
            const int lane = __builtin_ctz(chosen);
            out[count++] = {lanes[lane], parent.code + c + lane};
        }
    }
    return count;
}

constexpr BeamKernels kKernels{affine, hidden, sum_exp, admit};

}  // namespace
}  // namespace hr
