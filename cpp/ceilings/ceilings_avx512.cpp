#include "ceilings/ceilings_matrix.h"
#include "ceilings/ceilings_memory.h"

namespace {

using namespace hr;

constexpr int kInt8Sums = 6;

double int8_products(int64_t steps) {
    const __m512i ones = _mm512_set1_epi16(1);
    __m512i x = _mm512_set1_epi8(3);
    __m512i rows[kInt8Sums], sums[kInt8Sums] = {};
    for (int i = 0; i < kInt8Sums; ++i) rows[i] = _mm512_set1_epi8(static_cast<char>(i + 1));
    for (; steps > 0; --steps) {
        forget(x);
        for (int i = 0; i < kInt8Sums; ++i)
            sums[i] = _mm512_add_epi32(sums[i], _mm512_madd_epi16(_mm512_maddubs_epi16(x, rows[i]), ones));
    }
    for (int i = 1; i < kInt8Sums; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    return _mm512_cvtsi512_si32(sums[0]);
}

constexpr CeilingLoops kLoops{memory_loops("AVX-512"),
                              float32_loop("AVX-512 vfmadd ps"),
                              float64_loop("AVX-512 vfmadd pd"),
                              shifted_bfloat16_loop("AVX-512 float32 after a shift: vfmadd ps"),
                              {int8_products, 2.0 * 64 * kInt8Sums, "AVX-512 vpmaddubsw, vpmaddwd, vpaddd"}};

}  // namespace

constinit const hr::CeilingLoops hr::ceiling_loops_avx512 = kLoops;
