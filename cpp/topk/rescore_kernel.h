// The float64 sums that decide. Included by files of one instruction set.
#pragma once

#include "core/simd64.h"
#include "topk/kernels.h"

namespace hr {
namespace {

constexpr int kSumLanes = 8;

inline double fold(double* lanes) {
    for (int width = kSumLanes / 2; width; width /= 2)
        for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    return lanes[0];
}

// The order of these additions is part of the answer: every backend uses it, so every backend ranks alike. Rows go
// side by side, so that no addition waits for the last.
template <int Rows, class A, class T>
inline void sum_in_lanes(const A* a, const float* const* rows, int64_t dim, T term, double* out) {
    constexpr int L = Vec64::kLanes, V = kSumLanes / L;
    Vec64 sum[Rows][V];
    for (int r = 0; r < Rows; ++r)
        for (int v = 0; v < V; ++v) sum[r][v] = Vec64::zero();
    int64_t j = 0;
    for (; j + kSumLanes <= dim; j += kSumLanes)
        for (int v = 0; v < V; ++v) {
            const Vec64 q = Vec64::load(a + j + v * L);
            for (int r = 0; r < Rows; ++r) sum[r][v] = sum[r][v] + term(q, Vec64::load(rows[r] + j + v * L));
        }
    for (int r = 0; r < Rows; ++r) {
        double lanes[kSumLanes];
        for (int v = 0; v < V; ++v) sum[r][v].store(lanes + v * L);
        for (int i = 0; j + i < dim; ++i)
            lanes[i] += term(static_cast<double>(a[j + i]), static_cast<double>(rows[r][j + i]));
        out[r] = fold(lanes);
    }
}

constexpr auto product = [](auto x, auto y) { return x * y; };
constexpr auto squared_difference = [](auto x, auto y) {
    const auto difference = x - y;
    return difference * difference;
};

double dot(const float* a, const float* b, int64_t dim) {
    double sum;
    sum_in_lanes<1>(a, &b, dim, product, &sum);
    return sum;
}

template <int Rows, class T>
inline void rescore_rows(const double* query, const float* items, int64_t dim, const int32_t* rows, T term,
                         Ranked* out) {
    const float* x[Rows];
    double sums[Rows];
    for (int r = 0; r < Rows; ++r) x[r] = items + rows[r] * dim;
    sum_in_lanes<Rows>(query, x, dim, term, sums);
    for (int r = 0; r < Rows; ++r) out[r] = {sums[r], rows[r]};
}

template <class T>
inline void rescore_all(const double* query, const float* items, int64_t dim, const int32_t* rows, int64_t n, T term,
                        Ranked* out) {
    constexpr int kRows = 4, kAhead = 16;
    constexpr int64_t kLine = 64 / sizeof(float);
    int64_t i = 0;
    for (; i + kRows <= n; i += kRows) {
        for (int64_t r = i + kAhead; r < i + kAhead + kRows && r < n; ++r)
            for (int64_t j = 0; j < dim; j += kLine) __builtin_prefetch(items + rows[r] * dim + j);
        rescore_rows<kRows>(query, items, dim, rows + i, term, out + i);
    }
    for (; i < n; ++i) rescore_rows<1>(query, items, dim, rows + i, term, out + i);
}

void rescore(Term term, const double* query, const float* items, int64_t dim, const int32_t* rows, int64_t n,
             Ranked* out) {
    if (term == Term::kProduct) return rescore_all(query, items, dim, rows, n, product, out);
    rescore_all(query, items, dim, rows, n, squared_difference, out);
}

}  // namespace
}  // namespace hr
