// How close each candidate's content is to that of the items its user engaged with last.
#pragma once

#include <stdint.h>

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// content [items, dim]. recent [batch, length]: rows of content, -1 where there is none. Request b asks for candidates
// item[offsets[b]] .. item[offsets[b + 1] - 1]. out [n, 2] receives the dot product of each with the mean of its
// request's recent vectors, and the greatest with any one of them; zeros where there is none. float32, each product
// added in the order of the columns with a multiply and an add: the same bits whatever the batch, the threads and the
// instruction set. HR_INVALID for a row outside content, a result that is not finite, or offsets that do not rise from
// 0 to n.
HR_API hr_status hr_closeness(const float* content, int64_t items, int64_t dim, const int32_t* recent, int64_t batch,
                              int64_t length, const int64_t* offsets, const int64_t* item, int64_t n, int threads,
                              float* out);

#ifdef __cplusplus
}
#endif
