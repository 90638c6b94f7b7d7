#include "topk/packed_kernel.h"

namespace hr {
namespace {

// Without instructions for bfloat16: both halves of a word widen to float32 by a shift.
struct Bfloat16 {
    static constexpr int kQueries = 4, kVecs = 2;
    static constexpr QueryOrder kOrder = QueryOrder::kHalves;
    static constexpr bool kScaled = false;
    using Sum = __m256;
    struct Pair {
        __m256 even, odd;
    };
    using Column = Pair;
    using Word = Pair;
    static Sum start(int32_t) { return _mm256_setzero_ps(); }
    static Pair widen(__m256i x) {
        return {_mm256_castsi256_ps(_mm256_slli_epi32(x, 16)),
                _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(static_cast<int32_t>(0xffff0000))))};
    }
    static Column load(const uint32_t* x) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x))); }
    static __m256 all(const uint32_t* q) { return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int32_t>(*q))); }
    static Word spread(const uint32_t* q) { return {all(q), all(q + 1)}; }
    static Sum step(Sum sum, Column x, Word q) {
        return _mm256_fmadd_ps(x.odd, q.odd, _mm256_fmadd_ps(x.even, q.even, sum));
    }
    static Vec floats(Sum sum, float) { return {sum}; }
};

// Without VNNI: bytes 0 and 2, and 1 and 3, of a word become pairs of 16 bits.
struct Int8 {
    static constexpr int kQueries = 4, kVecs = 2;
    static constexpr QueryOrder kOrder = QueryOrder::kHalves;
    static constexpr bool kScaled = true;
    using Sum = __m256i;
    struct Pair {
        __m256i even, odd;
    };
    using Column = Pair;
    using Word = Pair;
    static Sum start(int32_t value) { return _mm256_set1_epi32(value); }
    static Column load(const uint32_t* p) {
        const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        return {_mm256_and_si256(x, _mm256_set1_epi32(0x00ff00ff)), _mm256_srli_epi16(x, 8)};
    }
    static __m256i all(const uint32_t* q) { return _mm256_set1_epi32(static_cast<int32_t>(*q)); }
    static Word spread(const uint32_t* q) { return {all(q), all(q + 1)}; }
    static Sum step(Sum sum, Column x, Word q) {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x.even, q.even));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x.odd, q.odd));
        asm("" : "+x"(sum));  // here, or GCC 12 computes ahead and spills sums
        return sum;
    }
    static Vec floats(Sum sum, float scale) { return {_mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(scale))}; }
};

}  // namespace

constinit const PackedKernels packed_bfloat16_avx2 = packed_kernels<Bfloat16>;
constinit const PackedKernels packed_int8_avx2 = packed_kernels<Int8>;

}  // namespace hr
