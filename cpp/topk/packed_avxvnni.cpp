#define HEADRACE_SIMD_AVX2 1
#include "topk/packed_kernel.h"

// The tests build this file a second time with the encoding that AVX-512 has of the same instruction.
#if HEADRACE_EVEX
#define HEADRACE_VPDPBUSD "vpdpbusd"
#else
#define HEADRACE_VPDPBUSD "%{vex%} vpdpbusd"
#endif

namespace hr {
namespace {

struct Int8 {
    static constexpr int kQueries = 6, kVecs = 2;
    static constexpr QueryOrder kOrder = QueryOrder::kSteps;
    static constexpr bool kScaled = true;
    using Sum = __m256i;
    using Column = __m256i;
    using Word = __m256i;
    static Sum start(int32_t value) { return _mm256_set1_epi32(value); }
    static Column load(const uint32_t* x) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)); }
    static Word spread(const uint32_t* q) { return _mm256_set1_epi32(static_cast<int32_t>(*q)); }
    static Sum step(Sum sum, Column x, Word q) {
        asm(HEADRACE_VPDPBUSD " %2, %1, %0" : "+x"(sum) : "x"(x), "x"(q));
        return sum;
    }
    static Vec floats(Sum sum, float scale) { return {_mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(scale))}; }
};

}  // namespace

#if HEADRACE_EVEX
extern const PackedKernels packed_int8_avxvnni_evex;
constinit const PackedKernels packed_int8_avxvnni_evex = packed_kernels<Int8>;
#else
constinit const PackedKernels packed_int8_avxvnni = packed_kernels<Int8>;
#endif

}  // namespace hr
