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

// The k best items of each query, best first; equal scores go to the lower row. Short results end in id -1, score -inf.
//
// queries [n_queries, dim], items [n_items, dim], float32, rows one after another. dim 1 to 65536, n_items below 2^31.
// mask: bit i % 64 of word i / 64 set where item i may be returned; null allows all. Query b reads the words from
// mask + b * mask_stride: 0 for one mask for all, else ceil(n_items / 64).
// threads: at most this many; 0 means the process setting. The answer does not depend on it.
// scores [n_queries, k], float32 of the float64 score (beyond its range: infinite). ids [n_queries, k]: rows of items.
// HR_INVALID: a bad size, metric or pointer, or a value that is not finite in a query or in an item that a mask allows.
HR_API hr_status hr_topk(const float* queries, int64_t n_queries, const float* items, int64_t n_items, int64_t dim,
                         int64_t k, int metric, const uint64_t* mask, int64_t mask_stride, int threads, float* scores,
                         int64_t* ids);

#ifdef __cplusplus
}
#endif
