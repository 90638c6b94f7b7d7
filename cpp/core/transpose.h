// Square transposes, and sums across the lanes of many vectors. Included by files of one instruction set.
#pragma once

#include "core/simd.h"

namespace hr {
namespace {

#if HEADRACE_SIMD_AVX512

inline void transpose(Vec r[16]) {
    __m512 t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i].v, r[i + 1].v);
        t[i + 1] = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
    }
    __m512d u[16];
    for (int i = 0; i < 16; i += 4)
        for (int h = 0; h < 2; ++h) {
            const __m512d a = _mm512_castps_pd(t[i + h]), b = _mm512_castps_pd(t[i + 2 + h]);
            u[i + 2 * h] = _mm512_unpacklo_pd(a, b);
            u[i + 2 * h + 1] = _mm512_unpackhi_pd(a, b);
        }
    // u[4g + c] holds, in 128-bit lane l, column 4l + c of rows 4g..4g+3.
    for (int c = 0; c < 4; ++c) {
        const __m512 a = _mm512_castpd_ps(u[c]), b = _mm512_castpd_ps(u[4 + c]);
        const __m512 d = _mm512_castpd_ps(u[8 + c]), e = _mm512_castpd_ps(u[12 + c]);
        const __m512 ab_even = _mm512_shuffle_f32x4(a, b, 0x88), ab_odd = _mm512_shuffle_f32x4(a, b, 0xdd);
        const __m512 de_even = _mm512_shuffle_f32x4(d, e, 0x88), de_odd = _mm512_shuffle_f32x4(d, e, 0xdd);
        r[c].v = _mm512_shuffle_f32x4(ab_even, de_even, 0x88);
        r[8 + c].v = _mm512_shuffle_f32x4(ab_even, de_even, 0xdd);
        r[4 + c].v = _mm512_shuffle_f32x4(ab_odd, de_odd, 0x88);
        r[12 + c].v = _mm512_shuffle_f32x4(ab_odd, de_odd, 0xdd);
    }
}

// Sums of two sets of vectors become sums of both: with Width vectors in all, Width / 2 in each of a and b. A vector of
// a set holds the members' partial sums side by side, so log2(kLanes) joins add up kLanes vectors lane by lane.
template <int Width>
inline Vec join(Vec a, Vec b) {
    if constexpr (Width == 2) return {_mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v))};
    if constexpr (Width == 4) {
        const __m512d x = _mm512_castps_pd(a.v), y = _mm512_castps_pd(b.v);
        return {_mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)))};
    }
    return {_mm512_add_ps(_mm512_shuffle_f32x4(a.v, b.v, 0x88), _mm512_shuffle_f32x4(a.v, b.v, 0xdd))};
}

#elif HEADRACE_SIMD_AVX2

inline void transpose(Vec r[8]) {
    __m256 t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i].v, r[i + 1].v);
        t[i + 1] = _mm256_unpackhi_ps(r[i].v, r[i + 1].v);
    }
    for (int i = 0; i < 8; i += 4)
        for (int h = 0; h < 2; ++h) {
            u[i + 2 * h] = _mm256_shuffle_ps(t[i + h], t[i + 2 + h], 0x44);
            u[i + 2 * h + 1] = _mm256_shuffle_ps(t[i + h], t[i + 2 + h], 0xee);
        }
    for (int c = 0; c < 4; ++c) {
        r[c].v = _mm256_permute2f128_ps(u[c], u[4 + c], 0x20);
        r[4 + c].v = _mm256_permute2f128_ps(u[c], u[4 + c], 0x31);
    }
}

template <int Width>
inline Vec join(Vec a, Vec b) {
    if constexpr (Width == 2) return {_mm256_add_ps(_mm256_unpacklo_ps(a.v, b.v), _mm256_unpackhi_ps(a.v, b.v))};
    if constexpr (Width == 4)
        return {_mm256_add_ps(_mm256_shuffle_ps(a.v, b.v, 0x44), _mm256_shuffle_ps(a.v, b.v, 0xee))};
    return {_mm256_add_ps(_mm256_permute2f128_ps(a.v, b.v, 0x20), _mm256_permute2f128_ps(a.v, b.v, 0x31))};
}

#else

inline void transpose(Vec*) {}

template <int Width>
inline Vec join(Vec a, Vec) {
    return a;
}

#endif

}  // namespace
}  // namespace hr
