#include <immintrin.h>

#include "ceilings/kernels.h"
#include "ceilings/opaque.h"

namespace {

constexpr int kSums = 12;

double products(int64_t steps) {
    const __m512i x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(1);
    __m512i sums[kSums] = {};
    hr::forget_all(sums);
    for (; steps > 0; --steps)
        for (int i = 0; i < kSums; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], x, y);
    for (int i = 1; i < kSums; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    return _mm512_cvtsi512_si32(sums[0]);
}

constexpr hr::MatrixLoop kLoop{products, 2.0 * 64 * kSums, "AVX512-VNNI vpdpbusd"};

}  // namespace

constinit const hr::MatrixLoop hr::int8_loop_avx512vnni = kLoop;
