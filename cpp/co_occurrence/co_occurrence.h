// The nearest items of every item, by the users who like both.
#pragma once

#include <stdint.h>

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// User u likes item[offsets[u]] .. item[offsets[u + 1] - 1], each item once. At most 2^32 - 1 entries and users, and
// 2^31 - 1 items.
typedef struct hr_likes {
    const int64_t* offsets;  // [users + 1], from 0 to `entries`
    int64_t users;
    const int64_t* item;   // [entries]
    const double* weight;  // [entries], finite; null: all 1
    int64_t entries, items;
    const uint8_t* kept;  // [items], 0 for an item that may be nobody's neighbour; null: all may
} hr_likes;

// What dot(i, j), the sum over the users of both items of the products of their weights, says of i and j.
typedef struct hr_closeness_formula {
    int cosine;         // not 0: dot / (sqrt(n_i n_j) + shrink), n the sums of squared weights; 0: (dot row_i) column_j
    double shrink;      // 0 to 1e18
    const double* row;  // [items], 0 to 1e9; null: all 1; of no use with `cosine`
    const double* column;  // as row
    int64_t min_common;    // users that a pair must share
} hr_closeness_formula;

// The `k` other kept items of each item with the highest scores above 0, best first, ties to the lower item: those of
// item i are out_item[out_offsets[i]] .. out_item[out_offsets[i + 1] - 1], for items that are not kept as for others.
// Both outputs have room for items * min(k, items). Sums run over the users in rising order, in float64. Scores are
// compared by 40 bits of their mantissa, so that those which differ by the order of a sum tie; where all weights are
// whole numbers, cosines without shrinkage are compared by dot^2 / (n_i n_j), whose parts are exact. The same answer
// for every number of threads. HR_INVALID for an item out of range or twice in a user, a weight that is not finite or
// nearer to 0 than 1e-60 and not 0, weights whose squares add up to more than 1e18 in an item, factors or shrink out of
// range, k or min_common below 1.
HR_API hr_status hr_co_occurrence(const hr_likes* likes, const hr_closeness_formula* formula, int64_t k, int threads,
                                  int64_t* out_offsets, int64_t* out_item, float* out_score);

// The same by Swing: a pair of users who like both adds 2 / (alpha + the number of items that both users like). Weights
// are of no use. An item costs half the square of its users times the items of a user. HR_INVALID for an alpha that
// is not above 0, or above 1e18.
HR_API hr_status hr_swing(const hr_likes* likes, double alpha, int64_t k, int threads, int64_t* out_offsets,
                          int64_t* out_item, float* out_score);

#ifdef __cplusplus
}
#endif
