// One vector of float64 for each instruction set, as simd.h is for float32. The same rule holds: only files whose
// suffix names an instruction set may include this.
#pragma once

#include <cstdint>
#include <cstring>

#if HEADRACE_SIMD_AVX512 || HEADRACE_SIMD_AVX2
#include <immintrin.h>
#endif

namespace hr {
namespace {

#if HEADRACE_SIMD_AVX512

struct Vec64 {
    static constexpr int kLanes = 8;
    __m512d v;

    static Vec64 zero() { return {_mm512_setzero_pd()}; }
    static Vec64 all(double x) { return {_mm512_set1_pd(x)}; }
    static Vec64 load(const double* p) { return {_mm512_loadu_pd(p)}; }
    static Vec64 load(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
    void store(double* p) const { _mm512_storeu_pd(p, v); }
    // Lanes of `yes` where a > b, of `no` elsewhere.
    static Vec64 where_greater(Vec64 a, Vec64 b, Vec64 yes, Vec64 no) {
        return {_mm512_mask_blend_pd(_mm512_cmp_pd_mask(a.v, b.v, _CMP_GT_OQ), no.v, yes.v)};
    }
    static Vec64 where_zero(const uint32_t* bits, Vec64 yes, Vec64 no) {
        const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits));
        return {_mm512_mask_blend_pd(_mm256_testn_epi32_mask(x, x), no.v, yes.v)};
    }
    Vec64 add_bits(int64_t x) const {
        return {_mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(v), _mm512_set1_epi64(x)))};
    }
    Vec64 and_bits(int64_t x) const {
        return {_mm512_castsi512_pd(_mm512_and_epi64(_mm512_castpd_si512(v), _mm512_set1_epi64(x)))};
    }
    Vec64 or_bits(int64_t x) const {
        return {_mm512_castsi512_pd(_mm512_or_epi64(_mm512_castpd_si512(v), _mm512_set1_epi64(x)))};
    }
    Vec64 shift_bits_right(int n) const {
        return {_mm512_castsi512_pd(_mm512_srli_epi64(_mm512_castpd_si512(v), static_cast<unsigned>(n)))};
    }
};
inline Vec64 operator+(Vec64 a, Vec64 b) { return {_mm512_add_pd(a.v, b.v)}; }
inline Vec64 operator-(Vec64 a, Vec64 b) { return {_mm512_sub_pd(a.v, b.v)}; }
inline Vec64 operator*(Vec64 a, Vec64 b) { return {_mm512_mul_pd(a.v, b.v)}; }
inline Vec64 operator/(Vec64 a, Vec64 b) { return {_mm512_div_pd(a.v, b.v)}; }
// As in simd.h: rounded once; rounded once or twice.
inline Vec64 fused(Vec64 a, Vec64 b, Vec64 c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
inline Vec64 multiply_add(Vec64 a, Vec64 b, Vec64 c) { return fused(a, b, c); }
inline Vec64 max(Vec64 a, Vec64 b) { return {_mm512_max_pd(a.v, b.v)}; }
// Bit i set where lane i of a is at least that of b.
inline uint32_t at_least(Vec64 a, Vec64 b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_GE_OQ); }
// x times 2^n, where n is the integer in the low bits of `power`.
inline Vec64 scaled(Vec64 x, Vec64 power) {
    const __m512i n = _mm512_slli_epi64(_mm512_castpd_si512(power.v), 52);
    return {_mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(x.v), n))};
}

#elif HEADRACE_SIMD_AVX2

struct Vec64 {
    static constexpr int kLanes = 4;
    __m256d v;

    static Vec64 zero() { return {_mm256_setzero_pd()}; }
    static Vec64 all(double x) { return {_mm256_set1_pd(x)}; }
    static Vec64 load(const double* p) { return {_mm256_loadu_pd(p)}; }
    static Vec64 load(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
    void store(double* p) const { _mm256_storeu_pd(p, v); }
    static Vec64 where_greater(Vec64 a, Vec64 b, Vec64 yes, Vec64 no) {
        return {_mm256_blendv_pd(no.v, yes.v, _mm256_cmp_pd(a.v, b.v, _CMP_GT_OQ))};
    }
    static Vec64 where_zero(const uint32_t* bits, Vec64 yes, Vec64 no) {
        const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bits));
        const __m256i zero = _mm256_cvtepi32_epi64(_mm_cmpeq_epi32(x, _mm_setzero_si128()));
        return {_mm256_blendv_pd(no.v, yes.v, _mm256_castsi256_pd(zero))};
    }
    Vec64 add_bits(int64_t x) const {
        return {_mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(v), _mm256_set1_epi64x(x)))};
    }
    Vec64 and_bits(int64_t x) const {
        return {_mm256_castsi256_pd(_mm256_and_si256(_mm256_castpd_si256(v), _mm256_set1_epi64x(x)))};
    }
    Vec64 or_bits(int64_t x) const {
        return {_mm256_castsi256_pd(_mm256_or_si256(_mm256_castpd_si256(v), _mm256_set1_epi64x(x)))};
    }
    Vec64 shift_bits_right(int n) const { return {_mm256_castsi256_pd(_mm256_srli_epi64(_mm256_castpd_si256(v), n))}; }
};
inline Vec64 operator+(Vec64 a, Vec64 b) { return {_mm256_add_pd(a.v, b.v)}; }
inline Vec64 operator-(Vec64 a, Vec64 b) { return {_mm256_sub_pd(a.v, b.v)}; }
inline Vec64 operator*(Vec64 a, Vec64 b) { return {_mm256_mul_pd(a.v, b.v)}; }
inline Vec64 operator/(Vec64 a, Vec64 b) { return {_mm256_div_pd(a.v, b.v)}; }
inline Vec64 fused(Vec64 a, Vec64 b, Vec64 c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
inline Vec64 multiply_add(Vec64 a, Vec64 b, Vec64 c) { return fused(a, b, c); }
inline Vec64 max(Vec64 a, Vec64 b) { return {_mm256_max_pd(a.v, b.v)}; }
inline uint32_t at_least(Vec64 a, Vec64 b) {
    return static_cast<uint32_t>(_mm256_movemask_pd(_mm256_cmp_pd(a.v, b.v, _CMP_GE_OQ)));
}
inline Vec64 scaled(Vec64 x, Vec64 power) {
    const __m256i n = _mm256_slli_epi64(_mm256_castpd_si256(power.v), 52);
    return {_mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(x.v), n))};
}

#else

struct Vec64 {
    static constexpr int kLanes = 1;
    double v;

    static Vec64 zero() { return {0.0}; }
    static Vec64 all(double x) { return {x}; }
    static Vec64 load(const double* p) { return {*p}; }
    static Vec64 load(const float* p) { return {static_cast<double>(*p)}; }
    void store(double* p) const { *p = v; }
    static Vec64 where_greater(Vec64 a, Vec64 b, Vec64 yes, Vec64 no) { return a.v > b.v ? yes : no; }
    static Vec64 where_zero(const uint32_t* bits, Vec64 yes, Vec64 no) { return *bits == 0 ? yes : no; }
    int64_t bits() const {
        int64_t x;
        std::memcpy(&x, &v, sizeof x);
        return x;
    }
    static Vec64 of_bits(int64_t x) {
        Vec64 out;
        std::memcpy(&out.v, &x, sizeof x);
        return out;
    }
    Vec64 add_bits(int64_t x) const { return of_bits(bits() + x); }
    Vec64 and_bits(int64_t x) const { return of_bits(bits() & x); }
    Vec64 or_bits(int64_t x) const { return of_bits(bits() | x); }
    Vec64 shift_bits_right(int n) const { return of_bits(static_cast<int64_t>(static_cast<uint64_t>(bits()) >> n)); }
};
inline Vec64 operator+(Vec64 a, Vec64 b) { return {a.v + b.v}; }
inline Vec64 operator-(Vec64 a, Vec64 b) { return {a.v - b.v}; }
inline Vec64 operator*(Vec64 a, Vec64 b) { return {a.v * b.v}; }
inline Vec64 operator/(Vec64 a, Vec64 b) { return {a.v / b.v}; }
inline Vec64 fused(Vec64 a, Vec64 b, Vec64 c) { return {__builtin_fma(a.v, b.v, c.v)}; }
inline Vec64 multiply_add(Vec64 a, Vec64 b, Vec64 c) { return {a.v * b.v + c.v}; }
inline Vec64 max(Vec64 a, Vec64 b) { return {a.v > b.v ? a.v : b.v}; }
inline uint32_t at_least(Vec64 a, Vec64 b) { return a.v >= b.v; }
inline Vec64 scaled(Vec64 x, Vec64 power) {
    return Vec64::of_bits(
        static_cast<int64_t>(static_cast<uint64_t>(x.bits()) + (static_cast<uint64_t>(power.bits()) << 52)));
}

#endif

}  // namespace
}  // namespace hr
