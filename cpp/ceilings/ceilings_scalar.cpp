#include "ceilings/ceilings_matrix.h"
#include "ceilings/ceilings_memory.h"

namespace {

using namespace hr;

#if HEADRACE_X86

constexpr int kInt8Sums = 3;

// 16 products of int8, widened to int16 once for three rows.
double int8_products(int64_t steps) {
    __m128i x = _mm_set1_epi8(3);
    __m128i rows[kInt8Sums], sums[kInt8Sums] = {};
    for (int i = 0; i < kInt8Sums; ++i) rows[i] = _mm_set1_epi16(static_cast<short>(i + 1));
    for (; steps > 0; --steps) {
        forget(x);
        const __m128i low = _mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8);
        const __m128i high = _mm_srai_epi16(_mm_unpackhi_epi8(x, x), 8);
        for (int i = 0; i < kInt8Sums; ++i) {
            sums[i] = _mm_add_epi32(sums[i], _mm_madd_epi16(low, rows[i]));
            sums[i] = _mm_add_epi32(sums[i], _mm_madd_epi16(high, rows[i]));
        }
    }
    __m128i all = _mm_add_epi32(_mm_add_epi32(sums[0], sums[1]), sums[2]);
    return _mm_cvtsi128_si32(all);
}
constexpr MatrixLoop kInt8{int8_products, 2.0 * 16 * kInt8Sums, "SSE2 widen, pmaddwd, paddd"};
constexpr CeilingLoops kLoops{memory_loops("SSE2"), float32_loop("SSE2 mulps, addps"),
                              float64_loop("SSE2 mulpd, addpd"),
                              shifted_bfloat16_loop("SSE2 float32 after a shift: mulps, addps"), kInt8};

#else

double int8_products(int64_t steps) {
    U32 x = U32{} + 3, sums[kSums] = {};
    forget_all(sums);
    for (; steps > 0; --steps)
        for (int i = 0; i < kSums; ++i) sums[i] = sums[i] * x + x;
    return first_lane(sums, kSums);
}
constexpr MatrixLoop kInt8{int8_products, 2.0 * kBytes / 4 * kSums, "int32 multiply and add"};
constexpr CeilingLoops kLoops{memory_loops("16-byte vectors"), float32_loop("16-byte vectors, multiply and add"),
                              float64_loop("16-byte vectors, multiply and add"),
                              shifted_bfloat16_loop("float32 after a shift: multiply and add"), kInt8};

#endif

}  // namespace

constinit const hr::CeilingLoops hr::ceiling_loops_scalar = kLoops;
