#include <immintrin.h>

#include "ceilings/kernels.h"
#include "ceilings/opaque.h"

namespace {

constexpr int kSums = 12;

double products(int64_t steps) {
    const __m512bh x = (__m512bh)_mm512_set1_epi16(0x3F00), y = (__m512bh)_mm512_set1_epi16(0x3C00);
    __m512 sums[kSums] = {};
    hr::forget_all(sums);
    for (; steps > 0; --steps)
        for (int i = 0; i < kSums; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], x, y);
    for (int i = 1; i < kSums; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
    return _mm512_cvtss_f32(sums[0]);
}

constexpr hr::MatrixLoop kLoop{products, 2.0 * 32 * kSums, "AVX512-BF16 vdpbf16ps"};

}  // namespace

constinit const hr::MatrixLoop hr::bfloat16_loop_avx512bf16 = kLoop;
