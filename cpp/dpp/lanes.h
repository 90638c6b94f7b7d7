// What greedy selection needs of a vector of float64 beyond core/simd64.h.
#pragma once

#include "core/simd.h"
#include "core/simd64.h"

namespace hr {
namespace {

#if HEADRACE_SIMD_AVX512

inline Vec64 root(Vec64 x) { return {_mm512_sqrt_pd(x.v)}; }
// The sum of eight lanes, in one order whatever the width of the registers.
inline double total(const Vec64 (&x)[1]) {
    const __m256d s = _mm256_add_pd(_mm512_castpd512_pd256(x[0].v), _mm512_extractf64x4_pd(x[0].v, 1));
    const __m128d t = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(_mm_add_sd(t, _mm_unpackhi_pd(t, t)));
}
// a where the bit is set, b elsewhere.
inline Vec64 choose(uint32_t bits, Vec64 a, Vec64 b) {
    return {_mm512_mask_blend_pd(static_cast<__mmask8>(bits), b.v, a.v)};
}
inline double highest_lane(Vec64 x) { return _mm512_reduce_max_pd(x.v); }
// Lane i is the sum of the lanes of x[i].
inline Vec sum_each(const Vec (&x)[16]) {
    __m512 pairs[8], fours[4];
    for (int i = 0; i < 8; ++i) {
        const __m512 a = x[2 * i].v, b = x[2 * i + 1].v;
        pairs[i] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    }
    for (int i = 0; i < 4; ++i) {
        const __m512d a = _mm512_castps_pd(pairs[2 * i]), b = _mm512_castps_pd(pairs[2 * i + 1]);
        fours[i] =
            _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    const auto halves = [](__m512 a, __m512 b) {
        return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
    };
    return {halves(halves(fours[0], fours[1]), halves(fours[2], fours[3]))};
}
// Bit i set where x[i] of 16 is y.
inline uint32_t equal_lanes(const int32_t* x, int32_t y) {
    return _mm512_cmpeq_epi32_mask(_mm512_loadu_si512(x), _mm512_set1_epi32(y));
}

#elif HEADRACE_SIMD_AVX2

inline Vec64 root(Vec64 x) { return {_mm256_sqrt_pd(x.v)}; }
inline double total(const Vec64 (&x)[2]) {
    const __m256d s = _mm256_add_pd(x[0].v, x[1].v);
    const __m128d t = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(_mm_add_sd(t, _mm_unpackhi_pd(t, t)));
}
inline Vec64 choose(uint32_t bits, Vec64 a, Vec64 b) {
    const __m256i lane = _mm256_setr_epi64x(1, 2, 4, 8);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi64x(bits), lane);
    return {_mm256_blendv_pd(b.v, a.v, _mm256_castsi256_pd(_mm256_cmpeq_epi64(set, lane)))};
}
inline double highest_lane(Vec64 x) {
    const __m128d t = _mm_max_pd(_mm256_castpd256_pd128(x.v), _mm256_extractf128_pd(x.v, 1));
    return _mm_cvtsd_f64(_mm_max_sd(t, _mm_unpackhi_pd(t, t)));
}
inline Vec sum_each(const Vec (&x)[8]) {
    __m256 pairs[4], fours[2];
    for (int i = 0; i < 4; ++i) {
        const __m256 a = x[2 * i].v, b = x[2 * i + 1].v;
        pairs[i] = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    }
    for (int i = 0; i < 2; ++i) {
        const __m256d a = _mm256_castps_pd(pairs[2 * i]), b = _mm256_castps_pd(pairs[2 * i + 1]);
        fours[i] =
            _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
    }
    return {_mm256_add_ps(_mm256_permute2f128_ps(fours[0], fours[1], 0x20),
                          _mm256_permute2f128_ps(fours[0], fours[1], 0x31))};
}
inline uint32_t equal_lanes(const int32_t* x, int32_t y) {
    const __m256i all = _mm256_set1_epi32(y);
    uint32_t lanes = 0;
    for (int i = 0; i < 16; i += 8) {
        const __m256i same = _mm256_cmpeq_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i)), all);
        lanes |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(same))) << i;
    }
    return lanes;
}

#else

inline double highest_lane(Vec64 x) { return x.v; }
inline Vec sum_each(const Vec (&x)[1]) { return x[0]; }
inline uint32_t equal_lanes(const int32_t* x, int32_t y) {
    uint32_t lanes = 0;
    for (int i = 0; i < 16; ++i) lanes |= static_cast<uint32_t>(x[i] == y) << i;
    return lanes;
}
inline Vec64 root(Vec64 x) { return {__builtin_sqrt(x.v)}; }
inline double total(const Vec64 (&x)[8]) {
    return ((x[0].v + x[4].v) + (x[2].v + x[6].v)) + ((x[1].v + x[5].v) + (x[3].v + x[7].v));
}
inline Vec64 choose(uint32_t bits, Vec64 a, Vec64 b) { return bits & 1 ? a : b; }

#endif

}  // namespace
}  // namespace hr
