#include "topk/packed_kernel.h"

namespace hr {
namespace {

// Without instructions for bfloat16: both halves of a word widen to float32 by a shift.
struct Bfloat16 {
    static constexpr int kQueries = 10, kVecs = 2;
    static constexpr QueryOrder kOrder = QueryOrder::kHalves;
    static constexpr bool kScaled = false;
    using Sum = __m512;
    struct Pair {
        __m512 even, odd;
    };
    using Column = Pair;
    using Word = Pair;
    static Sum start(int32_t) { return _mm512_setzero_ps(); }
    static Pair widen(__m512i x) {
        return {_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)),
                _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(static_cast<int32_t>(0xffff0000))))};
    }
    static Column load(const uint32_t* x) { return widen(_mm512_loadu_si512(x)); }
    static __m512 all(const uint32_t* q) { return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int32_t>(*q))); }
    static Word spread(const uint32_t* q) { return {all(q), all(q + 1)}; }
    static Sum step(Sum sum, Column x, Word q) {
        return _mm512_fmadd_ps(x.odd, q.odd, _mm512_fmadd_ps(x.even, q.even, sum));
    }
    static Vec floats(Sum sum, float) { return {sum}; }
};

// Without VNNI: bytes 0 and 2, and 1 and 3, of a word become pairs of 16 bits.
struct Int8 {
    static constexpr int kQueries = 10, kVecs = 2;
    static constexpr QueryOrder kOrder = QueryOrder::kHalves;
    static constexpr bool kScaled = true;
    using Sum = __m512i;
    struct Pair {
        __m512i even, odd;
    };
    using Column = Pair;
    using Word = Pair;
    static Sum start(int32_t value) { return _mm512_set1_epi32(value); }
    static Column load(const uint32_t* p) {
        const __m512i x = _mm512_loadu_si512(p);
        return {_mm512_and_si512(x, _mm512_set1_epi32(0x00ff00ff)), _mm512_srli_epi16(x, 8)};
    }
    static __m512i all(const uint32_t* q) { return _mm512_set1_epi32(static_cast<int32_t>(*q)); }
    static Word spread(const uint32_t* q) { return {all(q), all(q + 1)}; }
    static Sum step(Sum sum, Column x, Word q) {
        const __m512i pairs = _mm512_add_epi32(_mm512_madd_epi16(x.even, q.even), _mm512_madd_epi16(x.odd, q.odd));
        return _mm512_add_epi32(sum, pairs);
    }
    static Vec floats(Sum sum, float scale) { return {_mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(scale))}; }
};

}  // namespace

constinit const PackedKernels packed_bfloat16_avx512 = packed_kernels<Bfloat16>;
constinit const PackedKernels packed_int8_avx512 = packed_kernels<Int8>;

}  // namespace hr
