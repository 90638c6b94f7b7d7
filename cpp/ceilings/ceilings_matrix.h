// The multiply-add loops that every instruction set has, for the vector width of the including file. Each sum is its
// own chain, and there are enough of them to hide an instruction's latency.
#pragma once

#include "ceilings/ceilings_table.h"
#include "ceilings/ceilings_vectors.h"
#include "ceilings/opaque.h"

namespace hr {
namespace {

constexpr int kSums = 12;

// The sum is a factor too, so that without fused multiply-adds no product can be computed once and kept.
template <class V>
double multiply_adds(int64_t steps) {
    const V half = V{} + 0.5f, one = V{} + 1.0f;
    V sums[kSums] = {};
    forget_all(sums);
    for (; steps > 0; --steps)
        for (int i = 0; i < kSums; ++i) sums[i] = multiply_add(sums[i], half, one);
    return first_lane(sums, kSums);
}

template <class V>
constexpr double multiply_add_operations() {
    return 2.0 * kSums * sizeof(V) / sizeof(V{}[0]);
}

// bfloat16 without an instruction for it: a pair is cut into two float32, and both are used for half of the
// sums.
double shifted_bfloat16(int64_t steps) {
    U32 pair = U32{} + 0x3F003F00u;
    const F32 one = F32{} + 1.0f;
    F32 sums[kSums] = {};
    forget_all(sums);
    for (; steps > 0; --steps) {
        forget(pair);
        const F32 low = (F32)(pair << 16), high = (F32)(pair & 0xFFFF0000u);
        for (int i = 0; i < kSums; ++i) sums[i] = multiply_add(sums[i], i < kSums / 2 ? low : high, one);
    }
    return first_lane(sums, kSums);
}

constexpr MatrixLoop float32_loop(const char* how) { return {multiply_adds<F32>, multiply_add_operations<F32>(), how}; }
constexpr MatrixLoop float64_loop(const char* how) { return {multiply_adds<F64>, multiply_add_operations<F64>(), how}; }
constexpr MatrixLoop shifted_bfloat16_loop(const char* how) {
    return {shifted_bfloat16, multiply_add_operations<F32>(), how};
}

}  // namespace
}  // namespace hr
