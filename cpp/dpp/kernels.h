// What each instruction set provides to the greedy loops of dpp.cpp and mmr.cpp.
#pragma once

#include <cstdint>

namespace hr {

// Items are handled in panels of 16: panel p holds [width][16] float32, items 16p to 16p+15. Arrays over items are
// padded to whole panels ("padded" is that length).
constexpr int64_t kPanel = 16;

struct Items {
    const float* panels;
    int64_t padded, width;
};

// Up to `held` numbers of every item, panel by panel: [padded / 16][held][16], so that a panel's are neighbours.
struct Columns {
    double* data;
    int64_t held;
    double* at(int64_t item, int64_t t) const {
        return data + item / kPanel * kPanel * held + t * kPanel + item % kPanel;
    }
};

struct Best {
    int64_t index;  // -1 when nothing is allowed
    double score;
};

struct GreedyKernels {
    bool (*finite)(const float* x, int64_t n);
    // Rearranges rows [n, width] into panels, zeros behind the last.
    void (*pack)(const float* rows, int64_t n, int64_t width, float* panels);
    // out[i] = <item i, item i>.
    void (*squares)(const Items& items, double* out);
    // Column `count` = (<item, x> - sum_{t < count} weight[t] * column t) * scale; d2 -= its square.
    void (*join)(const Items& items, const float* x, const Columns& columns, int64_t count, const double* weight,
                 double scale, double* d2);
    // Columns t and t+1 = (c x + s y, c y - s x) for t = from..count-2 in turn; d2 += the square of the last column.
    void (*leave)(const Columns& columns, int64_t padded, int64_t from, int64_t count, const double* cosine,
                  const double* sine, double* d2);
    // score = base - weight * largest of <item, x> and the first `count` columns. <item, x> is kept in column `slot`; a
    // single column keeps the largest instead.
    void (*compare)(const Items& items, const float* x, const Columns& columns, int64_t slot, int64_t count,
                    const double* base, double weight, double* score);
    // out = base + weight * log(max(d2, eps)).
    void (*log_score)(const double* base, const double* d2, double weight, double eps, int64_t padded, double* out);
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
