// What greedy selection needs of a vector of float64 beyond core/simd64.h.
#pragma once

#include "core/simd64.h"

namespace hr {
namespace {

#if HEADRACE_SIMD_AVX512

inline Vec64 fused(Vec64 a, Vec64 b, Vec64 c) { return fma(a, b, c); }
// x * 2^k for the integer k in the low bits of `power`.
inline Vec64 scaled(Vec64 x, Vec64 power) {
    const __m512i k = _mm512_slli_epi64(_mm512_castpd_si512(power.v), 52);
    return {_mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(x.v), k))};
}
// Bit i set where lane i of a equals that of b.
inline uint32_t equal(Vec64 a, Vec64 b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ); }
// a where the bit is set, b elsewhere.
inline Vec64 choose(uint32_t bits, Vec64 a, Vec64 b) {
    return {_mm512_mask_blend_pd(static_cast<__mmask8>(bits), b.v, a.v)};
}

#elif HEADRACE_SIMD_AVX2

inline Vec64 fused(Vec64 a, Vec64 b, Vec64 c) { return fma(a, b, c); }
inline Vec64 scaled(Vec64 x, Vec64 power) {
    const __m256i k = _mm256_slli_epi64(_mm256_castpd_si256(power.v), 52);
    return {_mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(x.v), k))};
}
inline uint32_t equal(Vec64 a, Vec64 b) {
    return static_cast<uint32_t>(_mm256_movemask_pd(_mm256_cmp_pd(a.v, b.v, _CMP_EQ_OQ)));
}
inline Vec64 choose(uint32_t bits, Vec64 a, Vec64 b) {
    const __m256i lane = _mm256_setr_epi64x(1, 2, 4, 8);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi64x(bits), lane);
    return {_mm256_blendv_pd(b.v, a.v, _mm256_castsi256_pd(_mm256_cmpeq_epi64(set, lane)))};
}

#else

// The wider sets round once, and so must this.
inline Vec64 fused(Vec64 a, Vec64 b, Vec64 c) { return {__builtin_fma(a.v, b.v, c.v)}; }
inline Vec64 scaled(Vec64 x, Vec64 power) {
    return Vec64::of_bits(
        static_cast<int64_t>(static_cast<uint64_t>(x.bits()) + (static_cast<uint64_t>(power.bits()) << 52)));
}
inline uint32_t equal(Vec64 a, Vec64 b) { return a.v == b.v; }
inline Vec64 choose(uint32_t bits, Vec64 a, Vec64 b) { return bits & 1 ? a : b; }

#endif

}  // namespace
}  // namespace hr
