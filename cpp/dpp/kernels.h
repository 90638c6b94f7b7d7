// What each instruction set provides to the greedy loops of dpp.cpp and mmr.cpp.
#pragma once

#include <cstdint>

namespace hr {

// Items are handled in panels of 16: panel p holds [width][16] float32, items 16p to 16p+15. Arrays over items are
// padded to whole panels ("padded" is that length).
constexpr int64_t kPanel = 16;

struct Best {
    int64_t index;  // -1 when nothing is allowed
    double score;
};

struct GreedyKernels {
    bool (*finite)(const float* x, int64_t n);
    // Rearranges rows [n, width] into panels, zeros behind the last.
    void (*pack)(const float* rows, int64_t n, int64_t width, float* panels);
    // out[i] = <item i, item i>.
    void (*squares)(const float* panels, int64_t padded, int64_t width, double* out);
    // out[i] = <item i, x>, exact products summed in order of the columns.
    void (*dots)(const float* panels, int64_t padded, int64_t width, const float* x, double* out);
    // column = (column - sum_t weight[t] * columns[t]) * scale; d2 -= column^2. columns: [count][padded].
    void (*extend)(const double* columns, int64_t count, const double* weight, double scale, int64_t padded,
                   double* column, double* d2);
    // (x, y) = (c x + s y, c y - s x).
    void (*rotate)(double* x, double* y, double c, double s, int64_t padded);
    // d2 += column^2.
    void (*restore)(const double* column, int64_t padded, double* d2);
    // out = base + weight * log(max(d2, eps)).
    void (*log_score)(const double* base, const double* d2, double weight, double eps, int64_t padded, double* out);
    // out = max over t of columns[t] ([count][padded], count >= 1).
    void (*peak)(const double* columns, int64_t count, int64_t padded, double* out);
    // out = base - weight * x.
    void (*linear_score)(const double* base, const double* x, double weight, int64_t padded, double* out);
    // The largest score above -infinity among items whose `forbidden` is 0 (null: all); ties to the lower index.
    Best (*best)(const double* score, const uint32_t* forbidden, int64_t padded);
    // Counts a pick of kind `enter`, discounts one of kind `leave` (-1: none), then sets `bit` in `forbidden` of every
    // item of a kind >= 0 that has been counted `most` times or more.
    void (*rule)(const int32_t* kinds, int64_t n, int32_t enter, int32_t leave, int32_t most, uint32_t bit,
                 int32_t* count, uint32_t* forbidden);
};

const GreedyKernels* greedy_kernels_scalar();
const GreedyKernels* greedy_kernels_avx2();
const GreedyKernels* greedy_kernels_avx512();

}  // namespace hr
