// What each instruction set offers.
#pragma once

#include <cstdint>

#include "embedding_bag/embedding_bag.h"

namespace hr {

// Bags first..last of one table, checked: every index is a row.
struct BagRange {
    const void* values;   // the table's first element
    const float* scales;  // the table's first scale
    int64_t dim;
    const int64_t* indices;
    const int64_t* offsets;  // of the first bag
    int64_t bags;
    const float* weights;  // null: 1
    bool mean;
    int64_t width;  // floats from one bag's output to the next
    float* out;     // the first bag's columns
};

struct EmbeddingBagKernels {
    void (*pool[3])(const BagRange&);  // by hr_embedding_dtype
};

extern const EmbeddingBagKernels embedding_bag_kernels_scalar, embedding_bag_kernels_avx2, embedding_bag_kernels_avx512;

}  // namespace hr
