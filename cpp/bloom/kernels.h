// What each instruction set offers for the block layout.
#pragma once

#include <cstdint>

#include "bloom/bloom.h"

namespace hr {

struct BloomKernels {
    // Rows must be in range.
    void (*insert)(const hr_bloom_bank& bank, const int64_t* rows, const int64_t* keys, int64_t n);
    // False when a row was out of range; nothing is read there.
    bool (*contains)(const hr_bloom_bank& bank, const int64_t* rows, int64_t fan, const int64_t* keys, int64_t n,
                     uint8_t* seen);
    // seen[i] |= any of the filters, of words and hashes as the bank's, holds the key of hashed[i].
    void (*any)(const hr_bloom_bank& bank, const uint64_t* const* filters, int64_t count, const uint64_t* hashed,
                int64_t n, uint8_t* seen);
};

extern const BloomKernels bloom_kernels_scalar, bloom_kernels_avx2, bloom_kernels_avx512, bloom_kernels_classic;

}  // namespace hr
