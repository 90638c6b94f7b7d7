// Banks of Bloom filters: one filter a row, all of the same size. Words are uint64 with bit p of a filter at
// word p / 64, bit p % 64, so a bank written on one machine reads the same on every other.
#pragma once

#include <stdint.h>

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hr_bloom_layout {
    HR_BLOOM_BLOCK = 0,    // split-block: a key sets `hashes` (1 to 8) bits, each in its own lane of one 256-bit block
    HR_BLOOM_CLASSIC = 1,  // a key sets `hashes` (1 to 64) independent bits of the whole row
} hr_bloom_layout;

// A bank: bits [filters, words]. words is at most 2^25 and, for HR_BLOOM_BLOCK, a multiple of 4.
typedef struct hr_bloom_bank {
    uint64_t* bits;
    int64_t filters;
    int64_t words;
    int hashes;
    int layout;
} hr_bloom_bank;

// Adds keys[i] to filter rows[i]; a row of -1 is skipped. HR_INVALID, with nothing changed, when a row is outside
// -1..filters-1. Any number of threads may insert into one bank and read it meanwhile: words change by atomic OR.
HR_API hr_status hr_bloom_insert(const hr_bloom_bank* bank, const int64_t* rows, const int64_t* keys, int64_t n,
                                 int threads);

// seen[i] = 1 when any of the filters rows[i * fan .. i * fan + fan - 1] may hold keys[i], 0 when none does. A row of
// -1 holds nothing. HR_INVALID when a row is outside -1..filters-1 (seen is then unspecified).
HR_API hr_status hr_bloom_contains(const hr_bloom_bank* bank, const int64_t* rows, int64_t fan, const int64_t* keys,
                                   int64_t n, int threads, uint8_t* seen);

// What lists of keys ask one bank: list b asks the filters rows[b * fan] .. rows[b * fan + fan - 1].
typedef struct hr_bloom_lists {
    hr_bloom_bank bank;
    const int32_t* rows;  // [lists, fan], -1: none
    int64_t fan;
} hr_bloom_lists;

// seen[i] = 1 when any filter that the list of keys[i] asks, in any of the `count` banks, may hold it, 0 when none
// does. List b owns keys[offsets[b]] .. keys[offsets[b + 1] - 1]. HR_INVALID when a row is outside -1..filters-1, or
// offsets do not rise from 0 to n.
HR_API hr_status hr_bloom_contains_lists(const hr_bloom_lists* banks, int64_t count, const int64_t* offsets,
                                         int64_t lists, const int64_t* keys, int64_t n, int threads, uint8_t* seen);

#ifdef __cplusplus
}
#endif
