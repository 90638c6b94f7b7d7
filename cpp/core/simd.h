// One vector of float32 for each instruction set, so that a kernel is written once and built once per set.
//
// Only files whose suffix names an instruction set may include this. Everything is in an unnamed namespace: code built
// with wider instructions must never be merged by the linker with code that older machines run.
#pragma once

#include <cstdint>

#if HEADRACE_SIMD_AVX512 || HEADRACE_SIMD_AVX2
#include <immintrin.h>
#endif

namespace hr {
namespace {

#if HEADRACE_SIMD_AVX512

struct Vec {
    static constexpr int kLanes = 16;
    __m512 v;

    static Vec zero() { return {_mm512_setzero_ps()}; }
    static Vec all(float x) { return {_mm512_set1_ps(x)}; }
    static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
    static Vec load_first(const float* p, int n) {
        return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p)};
    }
    void store(float* p) const { _mm512_storeu_ps(p, v); }
    void store_first(float* p, int n) const { _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v); }
    // Bit i set when lane i of this is greater than that of b.
    uint32_t greater(Vec b) const { return _mm512_cmp_ps_mask(v, b.v, _CMP_GT_OQ); }
    uint32_t at_least(Vec b) const { return _mm512_cmp_ps_mask(v, b.v, _CMP_GE_OQ); }
    float sum() const { return _mm512_reduce_add_ps(v); }
    float first() const { return _mm512_cvtss_f32(v); }
    // Lane 0 replaced by the lowest number.
    Vec without_first() const { return {_mm512_mask_mov_ps(v, 1, _mm512_set1_ps(-__FLT_MAX__))}; }
    float highest() const { return _mm512_reduce_max_ps(v); }
};
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
// a * b + c, rounded once: the same bits from every instruction set.
inline Vec fused(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// a * b + c, rounded once or twice, whichever is fast: only where the answer does not depend on these bits.
inline Vec multiply_add(Vec a, Vec b, Vec c) { return fused(a, b, c); }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec absolute(Vec x) { return {_mm512_abs_ps(x.v)}; }
// Lanes of `yes` where a > b, of `no` elsewhere.
inline Vec where_greater(Vec a, Vec b, Vec yes, Vec no) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ), no.v, yes.v)};
}

#elif HEADRACE_SIMD_AVX2

struct Vec {
    static constexpr int kLanes = 8;
    __m256 v;

    static __m256i first_lanes(int n) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
    static Vec zero() { return {_mm256_setzero_ps()}; }
    static Vec all(float x) { return {_mm256_set1_ps(x)}; }
    static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
    static Vec load_first(const float* p, int n) { return {_mm256_maskload_ps(p, first_lanes(n))}; }
    void store(float* p) const { _mm256_storeu_ps(p, v); }
    void store_first(float* p, int n) const { _mm256_maskstore_ps(p, first_lanes(n), v); }
    uint32_t greater(Vec b) const { return _mm256_movemask_ps(_mm256_cmp_ps(v, b.v, _CMP_GT_OQ)); }
    uint32_t at_least(Vec b) const { return _mm256_movemask_ps(_mm256_cmp_ps(v, b.v, _CMP_GE_OQ)); }
    float sum() const {
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
    }
    float first() const { return _mm256_cvtss_f32(v); }
    Vec without_first() const { return {_mm256_blend_ps(v, _mm256_set1_ps(-__FLT_MAX__), 1)}; }
    float highest() const {
        __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        s = _mm_max_ps(s, _mm_movehl_ps(s, s));
        return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
    }
};
inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec fused(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec multiply_add(Vec a, Vec b, Vec c) { return fused(a, b, c); }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec absolute(Vec x) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), x.v)}; }
inline Vec where_greater(Vec a, Vec b, Vec yes, Vec no) {
    return {_mm256_blendv_ps(no.v, yes.v, _mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ))};
}

#else

struct Vec {
    static constexpr int kLanes = 1;
    float v;

    static Vec zero() { return {0.0f}; }
    static Vec all(float x) { return {x}; }
    static Vec load(const float* p) { return {*p}; }
    static Vec load_first(const float* p, int n) { return {n > 0 ? *p : 0.0f}; }
    void store(float* p) const { *p = v; }
    void store_first(float* p, int n) const {
        if (n > 0) *p = v;
    }
    uint32_t greater(Vec b) const { return v > b.v; }
    uint32_t at_least(Vec b) const { return v >= b.v; }
    float sum() const { return v; }
    float first() const { return v; }
    Vec without_first() const { return {-__FLT_MAX__}; }
    float highest() const { return v; }
};
inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
// The C library has it where the machine has not, many times slower.
inline Vec fused(Vec a, Vec b, Vec c) { return {__builtin_fmaf(a.v, b.v, c.v)}; }
inline Vec multiply_add(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
inline Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
inline Vec min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
inline Vec absolute(Vec x) { return {x.v < 0.0f ? -x.v : x.v}; }
inline Vec where_greater(Vec a, Vec b, Vec yes, Vec no) { return a.v > b.v ? yes : no; }

#endif

}  // namespace
}  // namespace hr
