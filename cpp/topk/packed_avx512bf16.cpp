#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#define HEADRACE_SIMD_AVX512 1
#include "topk/packed_kernel.h"

namespace hr {
namespace {

struct Bfloat16 {
    static constexpr int kQueries = 12, kVecs = 2;
    static constexpr bool kScaled = false;
    using Sum = __m512;
    using Column = __m512i;
    using Word = __m512i;
    static Sum start(int32_t) { return _mm512_setzero_ps(); }
    static Column load(const uint32_t* x) { return _mm512_loadu_si512(x); }
    static Word spread(const uint32_t* q) { return _mm512_set1_epi32(static_cast<int32_t>(*q)); }
    static Sum step(Sum sum, Column x, Word q) {
        return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(q));
    }
    static Vec floats(Sum sum, float) { return {sum}; }
};

}  // namespace

const PackedKernels packed_bfloat16_avx512bf16 = packed_kernels<Bfloat16>;

}  // namespace hr
