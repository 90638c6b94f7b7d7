// Pooled look-ups in many embedding tables by one call.
#pragma once

#include <stdint.h>

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hr_embedding_dtype {
    HR_EMBEDDING_FLOAT32 = 0,
    HR_EMBEDDING_BFLOAT16 = 1,
    HR_EMBEDDING_INT8 = 2,  // symmetric: value = scale of the row * integer
} hr_embedding_dtype;

// A row takes `dim` elements padded to a multiple of HR_EMBEDDING_PAD, so that vectors never cross its end.
#define HR_EMBEDDING_PAD 16

typedef struct hr_embedding_table {
    int64_t start;      // first element in `values`
    int64_t first_row;  // first entry in `scales`
    int64_t rows;
    int64_t dim;
    int64_t column;  // first column of the output
} hr_embedding_table;

typedef struct hr_embedding_tables {
    const void* values;  // all tables, one after another, elements of `dtype`
    int64_t value_count;
    const float* scales;  // one a row for HR_EMBEDDING_INT8, else null
    int64_t scale_count;
    int dtype;
    const hr_embedding_table* table;
    int64_t tables;
} hr_embedding_tables;

typedef enum hr_pooling { HR_POOLING_SUM = 0, HR_POOLING_MEAN = 1 } hr_pooling;

// Bag (t, b) owns indices[offsets[t * batch + b] : offsets[t * batch + b + 1]], rows of table t. out [batch, width]
// receives, at the table's columns, the sum of the rows, each times its weight (weights null: 1; only with sums), or
// their mean; zeros for an empty bag. float32, added in the order given: the same bits whatever the threads and
// instruction set. HR_INVALID, naming table and position, for an index out of range, which is never read at; `out` is
// then unspecified.
HR_API hr_status hr_embedding_bag(const hr_embedding_tables* tables, const int64_t* indices, int64_t nnz,
                                  const int64_t* offsets, int64_t batch, const float* weights, int pooling, int threads,
                                  int64_t width, float* out);

#ifdef __cplusplus
}
#endif
