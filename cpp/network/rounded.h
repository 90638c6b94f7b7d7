// Products of factors that are rounded to bfloat16, for any instruction set.
#pragma once

#include "network/machine.h"

namespace hr {
namespace {

// To the nearest, ties to even. A NaN that arithmetic makes stays one: the low half of its bits is zero.
#if HEADRACE_SIMD_AVX512
inline Vec to_bfloat16(Vec x) {
    const __m512i bits = _mm512_castps_si512(x.v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return {_mm512_castsi512_ps(_mm512_and_si512(sum, _mm512_set1_epi32(-0x10000)))};
}
#elif HEADRACE_SIMD_AVX2
inline Vec to_bfloat16(Vec x) {
    const __m256i bits = _mm256_castps_si256(x.v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    return {_mm256_castsi256_ps(_mm256_and_si256(sum, _mm256_set1_epi32(-0x10000)))};
}
#else
inline Vec to_bfloat16(Vec x) {
    uint32_t bits;
    std::memcpy(&bits, &x.v, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    std::memcpy(&x.v, &bits, sizeof bits);
    return x;
}
#endif

// Rounds the inputs into columns of its own; the rounded weights lie as the weights do.
class Rounded {
  public:
    Rounded(const NetworkPlan& plan, float* room)
        : weights_(plan.program->packed), room_(room), columns_(plan.rounded) {}

    void begin(const AffineStep&) { used_ = 0; }
    bool joins(const AffineStep& s) const { return s.own || used_ + s.inputs <= columns_; }

    Term term(const AffineStep& s, const float* x) {
        float* out = room_ + used_ * kBlock;
        map<Lanes>(x, s.inputs, out, [](Vec a) { return to_bfloat16(a); });
        used_ += s.inputs;
        return {out, weights_ + s.weight, s.inputs, s.stride};
    }

    template <class L, class Between>
    void add_up(const Sum& s, int64_t width, float* out, Between& between) {
        sum_up<L>(s, width, out, between);
    }

  private:
    const float* weights_;
    float* room_;
    int64_t columns_, used_ = 0;
};

}  // namespace
}  // namespace hr
