// The best entries of each segment of a ragged batch.
#pragma once

#include <stdint.h>

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// Segment s owns entries offsets[s] .. offsets[s + 1] - 1 of score and tie [nnz]. index receives the positions of its
// min(k, entries) highest scores, best first, ties to the lower tie, then to the earlier entry; segment after segment,
// from out_offsets[s] on (out_offsets [segments + 1]). index has room for `room` positions. HR_INVALID for a NaN,
// offsets that do not rise from 0 to nnz, k below 1, or too little room. The same answer for every number of threads.
HR_API hr_status hr_segment_topk(const int64_t* offsets, int64_t segments, const float* score, const int64_t* tie,
                                 int64_t nnz, int64_t k, int threads, int64_t* index, int64_t room,
                                 int64_t* out_offsets);

#ifdef __cplusplus
}
#endif
