#include <immintrin.h>

#include "ceilings/kernels.h"
#include "ceilings/opaque.h"

namespace {

constexpr int kSums = 12;

double products(int64_t steps) {
    const __m256i x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(1);
    __m256i sums[kSums] = {};
    hr::forget_all(sums);
    for (; steps > 0; --steps)
        for (int i = 0; i < kSums; ++i) sums[i] = _mm256_dpbusd_avx_epi32(sums[i], x, y);
    for (int i = 1; i < kSums; ++i) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
    return _mm256_extract_epi32(sums[0], 0);
}

constexpr hr::MatrixLoop kLoop{products, 2.0 * 32 * kSums, "AVX-VNNI vpdpbusd"};

}  // namespace

constinit const hr::MatrixLoop hr::int8_loop_avxvnni = kLoop;
