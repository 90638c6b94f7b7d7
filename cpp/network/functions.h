// Functions of a vector of numbers; every instruction set gives the same bits.
#pragma once

#include <cstring>

#include "core/simd.h"

namespace hr {
namespace {

#if HEADRACE_SIMD_AVX512

inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec root(Vec x) { return {_mm512_sqrt_ps(x.v)}; }
// x times 2^n, where n is the integer in the low bits of `power`.
inline Vec scale(Vec x, Vec power) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(power.v), 23);
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x.v), exponent))};
}

#elif HEADRACE_SIMD_AVX2

inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec root(Vec x) { return {_mm256_sqrt_ps(x.v)}; }
inline Vec scale(Vec x, Vec power) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(power.v), 23);
    return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x.v), exponent))};
}

#else

inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
inline Vec root(Vec x) { return {__builtin_sqrtf(x.v)}; }
inline Vec scale(Vec x, Vec power) {
    uint32_t bits, exponent;
    std::memcpy(&bits, &x.v, sizeof bits);
    std::memcpy(&exponent, &power.v, sizeof exponent);
    bits += exponent << 23;
    std::memcpy(&x.v, &bits, sizeof bits);
    return x;
}

#endif

// exp(x) for x <= 0, within 2 units in the last place; below -86, where it no longer adds to 1, about 4e-38.
inline Vec exp_of(Vec x) {
    const Vec magic = Vec::all(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer in the low bits
    x = max(x, Vec::all(-86.0f));
    const Vec shifted = fused(x, Vec::all(1.44269504f), magic);
    const Vec n = shifted - magic;
    Vec r = fused(n, Vec::all(-0x1.62e4p-1f), x);  // ln 2, high part
    r = fused(n, Vec::all(-0x1.7f7d1cp-20f), r);   // ln 2, low part
    Vec sum = Vec::all(1.0f / 5040);
    sum = fused(sum, r, Vec::all(1.0f / 720));
    sum = fused(sum, r, Vec::all(1.0f / 120));
    sum = fused(sum, r, Vec::all(1.0f / 24));
    sum = fused(sum, r, Vec::all(1.0f / 6));
    sum = fused(sum, r, Vec::all(0.5f));
    sum = fused(sum, r, Vec::all(1.0f));
    sum = fused(sum, r, Vec::all(1.0f));
    return scale(sum, shifted);
}

// Within 10 roundings of 2^-24 of its value, from exp of what is negative; below -86 it stays at about 4e-38.
inline Vec sigmoid(Vec x) {
    const Vec one = Vec::all(1.0f), e = exp_of(Vec::zero() - absolute(x));
    return where_greater(Vec::zero(), x, e, one) / (one + e);
}

// Within 12 roundings of 2^-24 of its value. Near zero 1 - exp(-2 |x|) would cancel, so a series in x^2 takes over.
inline Vec hyperbolic(Vec x) {
    const Vec size = absolute(x), one = Vec::all(1.0f);
    const Vec e = exp_of(Vec::all(-2.0f) * size);
    const Vec large = (one - e) / (one + e);
    const Vec square = x * x;
    Vec sum = Vec::all(62.0f / 2835);
    sum = fused(sum, square, Vec::all(-17.0f / 315));
    sum = fused(sum, square, Vec::all(2.0f / 15));
    sum = fused(sum, square, Vec::all(-1.0f / 3));
    const Vec small = fused(sum * square, x, x);
    const Vec far = where_greater(Vec::zero(), x, Vec::zero() - large, large);
    return where_greater(size, Vec::all(0.25f), far, small);
}

}  // namespace
}  // namespace hr
