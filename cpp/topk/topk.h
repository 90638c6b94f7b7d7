// Exact top-k by inner product, cosine or distance: a float32 scan finds, a float64 rescore decides.
#pragma once

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hr_metric {
    HR_METRIC_IP = 0,      // q . x
    HR_METRIC_COSINE = 1,  // q . x / (|q| |x|), 0 where either is the zero vector
    HR_METRIC_L2 = 2,      // -|q - x|^2
} hr_metric;

// The precision that finds; float64 decides, whichever it is.
typedef enum hr_scan { HR_SCAN_FLOAT32 = 0, HR_SCAN_BFLOAT16 = 1, HR_SCAN_INT8 = 2 } hr_scan;

// What a search did. rescored: query-item pairs that float64 scored. widened: how often a query's scan left too many
// near ties to tell apart, so that float64 had to thin them out before the end.
typedef struct hr_topk_counts {
    int64_t rescored, widened;
} hr_topk_counts;

// The k best items of each query, best first; equal scores go to the lower row. Short results end in id -1, score -inf.
//
// queries [n_queries, dim], items [n_items, dim], float32, rows one after another. dim 1 to 65536, n_items below 2^31.
// mask: bit i % 64 of word i / 64 set where item i may be returned; null allows all. Query b reads the words from
// mask + b * mask_stride: 0 for one mask for all, else ceil(n_items / 64).
// threads: at most this many; 0 means the process setting. The answer does not depend on it.
// scores [n_queries, k], ids [n_queries, k]: rows of items.
// HR_INVALID: a bad size, metric or pointer, or a value that is not finite in a query or in an item that a mask allows.
HR_API hr_status hr_topk(const float* queries, int64_t n_queries, const float* items, int64_t n_items, int64_t dim,
                         int64_t k, int metric, const uint64_t* mask, int64_t mask_stride, int threads, double* scores,
                         int64_t* ids);

// Bytes of a catalogue packed for a scan in HR_SCAN_BFLOAT16 or HR_SCAN_INT8, for searches by `metric`.
HR_API hr_status hr_topk_packed_bytes(int64_t n_items, int64_t dim, int metric, int scan, int64_t* bytes);

// Packs `items`, as in hr_topk, into so many bytes on a 64-byte boundary. rounded: they are what hr_topk_unpack gave
// for this metric and scan; then they are taken as they are, and each packed number is exactly the one it stands for.
// Rows from a multiple of 256 on are packed alike wherever they stand. HR_INVALID: as above.
HR_API hr_status hr_topk_pack(const float* items, int64_t n_items, int64_t dim, int metric, int scan, int rounded,
                              int threads, void* packed);

// The vectors that packed numbers stand for: int8 times the item's scale, or bfloat16; for HR_METRIC_COSINE those of an
// item of length 1. rows [n_rows], each below n_items; vectors [n_rows, dim]. Packing changes them no further.
HR_API hr_status hr_topk_unpack(const void* packed, int64_t n_items, int64_t dim, int metric, int scan,
                                const int32_t* rows, int64_t n_rows, int threads, float* vectors);

// As hr_topk, finding by `packed`, which hr_topk_pack made of the same items, metric and scan. Items that a mask leaves
// out need not be finite in `items`, but were when packed. items: may be null where hr_topk_pack was told `rounded`;
// the packed numbers then decide as well. counts: may be null.
HR_API hr_status hr_topk_packed(const float* queries, int64_t n_queries, const float* items, const void* packed,
                                int64_t n_items, int64_t dim, int64_t k, int metric, int scan, const uint64_t* mask,
                                int64_t mask_stride, int threads, double* scores, int64_t* ids, hr_topk_counts* counts);

// Merges the answers of searches over parts of a catalogue: for each query the k best of n_lists lists of `width`, best
// first; equal scores go to the lower id. scores, ids [n_lists, n_queries, width]: each list as hr_topk writes it,
// where ids of equal score rise and -1 ends it. merged_scores, merged_ids [n_queries, k], padded as by hr_topk.
HR_API hr_status hr_topk_merge(const double* scores, const int64_t* ids, int64_t n_lists, int64_t n_queries,
                               int64_t width, int64_t k, double* merged_scores, int64_t* merged_ids);

#ifdef __cplusplus
}
#endif
