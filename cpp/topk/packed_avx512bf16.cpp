#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#define HEADRACE_SIMD_AVX512 1
#include "topk/packed_kernel.h"

namespace hr {
namespace {

struct Bfloat16 {
    static constexpr int kQueries = 12, kVecs = 2;
    static constexpr QueryOrder kOrder = QueryOrder::kSteps;
    static constexpr bool kScaled = false;
    using Sum = __m512;
    using Column = __m512i;
    using Word = __m512i;
    static Sum start(int32_t) { return _mm512_setzero_ps(); }
    static Column load(const uint32_t* x) { return _mm512_loadu_si512(x); }
    static Word spread(const uint32_t* q) { return _mm512_set1_epi32(static_cast<int32_t>(*q)); }
    // Not the intrinsic: GCC 12 copies its sums around and spills them.
    static Sum step(Sum sum, Column x, Word q) {
        asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(q));
        return sum;
    }
    static Vec floats(Sum sum, float) { return {sum}; }
};

}  // namespace

constinit const PackedKernels packed_bfloat16_avx512bf16 = packed_kernels<Bfloat16>;

}  // namespace hr
