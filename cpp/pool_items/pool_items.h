// Many ragged lists of items as one list of distinct items for each request.
#pragma once

#include <stdint.h>

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// List l of request b is item[offsets[l * (batch + 1) + b]] .. item[offsets[l * (batch + 1) + b + 1] - 1], of which the
// first limits[l] count. An entry is worth its score; score null: 1 / (constant + rank), rank from 1 in its list. The
// worth of equal items is added up in float64, list by list. The `k` distinct items of each request with the highest
// sums, rounded to float32, ties to the lower item, go to out_item, out_score and out_lists (bit l set where list l has
// the item), request after request, from out_offsets[b] on (out_offsets [batch + 1]); each has room for `room` entries,
// at least the sum over the requests of min(k, entries that count). out_rank, where it is not null, gets for each of
// them its rank in every list, from 1, 0 where the list has it not (int32 [room, lists]); of an item that is twice in a
// list the first. The same answer for every number of threads.
// HR_INVALID for more than 63 lists, a NaN sum, offsets that fall or leave the items, k or a limit below 1, a constant
// at or below -1, too little room, and, without scores, an item that is twice in one list.
typedef struct hr_item_lists {
    const int64_t* offsets;  // [lists, batch + 1]
    int64_t lists, batch;
    const int64_t* item;  // [nnz]
    const double* score;  // [nnz] or null
    int64_t nnz;
    const int64_t* limits;  // [lists]
    double constant;
} hr_item_lists;

HR_API hr_status hr_pool_items(const hr_item_lists* lists, int64_t k, int threads, int64_t room, int64_t* out_offsets,
                               int64_t* out_item, float* out_score, int64_t* out_lists, int32_t* out_rank);

#ifdef __cplusplus
}
#endif
