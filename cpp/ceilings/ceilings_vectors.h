// One vector of each number for the instruction set of the including file, as the compiler's own vector types: at the
// ABI floor they are 16 bytes, which every supported machine has. Only files with an instruction set's suffix include
// this; everything is in an unnamed namespace, see core/simd.h.
#pragma once

#include <cstdint>

#if HEADRACE_X86
#include <immintrin.h>
#endif

namespace hr {
namespace {

#if HEADRACE_SIMD_AVX512
constexpr int kBytes = 64;
#elif HEADRACE_SIMD_AVX2
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

typedef float F32 __attribute__((vector_size(kBytes)));
typedef double F64 __attribute__((vector_size(kBytes)));
typedef uint32_t U32 __attribute__((vector_size(kBytes)));
typedef uint64_t U64 __attribute__((vector_size(kBytes)));

#if HEADRACE_SIMD_AVX512
inline F32 multiply_add(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
inline F64 multiply_add(F64 a, F64 b, F64 c) { return _mm512_fmadd_pd(a, b, c); }
inline void stream(void* p, U64 x) { _mm512_stream_si512(static_cast<__m512i*>(p), (__m512i)x); }
#elif HEADRACE_SIMD_AVX2
inline F32 multiply_add(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
inline F64 multiply_add(F64 a, F64 b, F64 c) { return _mm256_fmadd_pd(a, b, c); }
inline void stream(void* p, U64 x) { _mm256_stream_si256(static_cast<__m256i*>(p), (__m256i)x); }
#else
inline F32 multiply_add(F32 a, F32 b, F32 c) { return a * b + c; }
inline F64 multiply_add(F64 a, F64 b, F64 c) { return a * b + c; }
#if HEADRACE_X86
inline void stream(void* p, U64 x) { _mm_stream_si128(static_cast<__m128i*>(p), (__m128i)x); }
#else
inline void stream(void* p, U64 x) { *static_cast<U64*>(p) = x; }
#endif
#endif

template <class V>
double first_lane(const V* sums, int count) {
    V all = sums[0];
    for (int i = 1; i < count; ++i) all += sums[i];
    return static_cast<double>(all[0]);
}

}  // namespace
}  // namespace hr
