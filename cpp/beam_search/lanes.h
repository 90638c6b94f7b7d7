// What beam search needs of a vector of float64 beyond core/simd64.h.
#pragma once

#include "core/simd64.h"

namespace hr {
namespace {

#if HEADRACE_SIMD_AVX512

inline Vec64 fused(Vec64 a, Vec64 b, Vec64 c) { return fma(a, b, c); }
// Bit i set when lane i of a is at least that of b.
inline uint32_t at_least(Vec64 a, Vec64 b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_GE_OQ); }
// x times 2^n, where n is the integer in the low bits of `power`.
inline Vec64 scale(Vec64 x, Vec64 power) {
    const __m512i exponent = _mm512_slli_epi64(_mm512_castpd_si512(power.v), 52);
    return {_mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(x.v), exponent))};
}

#elif HEADRACE_SIMD_AVX2

inline Vec64 fused(Vec64 a, Vec64 b, Vec64 c) { return fma(a, b, c); }
inline uint32_t at_least(Vec64 a, Vec64 b) {
    return static_cast<uint32_t>(_mm256_movemask_pd(_mm256_cmp_pd(a.v, b.v, _CMP_GE_OQ)));
}
inline Vec64 scale(Vec64 x, Vec64 power) {
    const __m256i exponent = _mm256_slli_epi64(_mm256_castpd_si256(power.v), 52);
    return {_mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(x.v), exponent))};
}

#else

// Rounded once, as the wide sets do it, so that all sets agree; the C library has it where the machine has not.
inline Vec64 fused(Vec64 a, Vec64 b, Vec64 c) { return {__builtin_fma(a.v, b.v, c.v)}; }
inline uint32_t at_least(Vec64 a, Vec64 b) { return a.v >= b.v; }
inline Vec64 scale(Vec64 x, Vec64 power) {
    return Vec64::of_bits(
        static_cast<int64_t>(static_cast<uint64_t>(x.bits()) + (static_cast<uint64_t>(power.bits()) << 52)));
}

#endif

}  // namespace
}  // namespace hr
