// Rows of tables that are keyed by a pair: something of the request and something of the candidate.
#pragma once

#include <stdint.h>

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// The pairs that have a row, as lists of codes: entry e of list l, offsets[l] <= e < offsets[l + 1], stands for the
// pair (l, codes[e]) and has row e + 1; every other pair has row 0. Codes rise within a list and are at least 0.
typedef struct hr_pair_table {
    const int64_t* offsets;  // [lists + 1]
    int64_t lists;
    const int32_t* codes;  // [entries]
    int64_t entries;
    const float* rows;  // [entries + 1, width]
    int64_t width;
    const int32_t* item_code;  // [items], -1 unknown; null: each item has a list, and the request has the code
    int64_t items;             // where item_code is not null
} hr_pair_table;

// Request b asks for candidates item[offsets[b]] .. item[offsets[b + 1] - 1]; key[t * batch + b] is its list in table t
// (its code, where the lists are the items'), -1 unknown. out [n, sum of widths] receives the rows of each candidate,
// table by table. HR_INVALID for a list, an item or offsets out of range. A code that no list has is no error.
HR_API hr_status hr_lookup_pairs(const hr_pair_table* tables, int64_t count, const int64_t* key, int64_t batch,
                                 const int64_t* offsets, const int64_t* item, int64_t n, int threads, float* out);

#ifdef __cplusplus
}
#endif
