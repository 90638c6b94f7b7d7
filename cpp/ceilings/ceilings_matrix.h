// The multiply-add loops that every instruction set has, for the vector width of the including file. Each sum is its
// own chain, and there are enough of them to hide an instruction's latency.
#pragma once

#include "ceilings/ceilings_vectors.h"
#include "ceilings/kernels.h"
#include "ceilings/opaque.h"

namespace hr {
namespace {

#if HEADRACE_SIMD_AVX512 || HEADRACE_SIMD_AVX2
constexpr int kSums = 12, kRight = 1;
#else
// Every sum has a product of its own: the compiler would multiply once for equal ones.
constexpr int kSums = 8, kRight = 4;
#endif

template <class V>
struct Sums {
    V right[kRight];
    V sums[kSums] = {};

    Sums() {
        for (int i = 0; i < kRight; ++i) right[i] = V{} + (0.5f + 0.25f * i);
        forget_all(sums);
    }
    void add(V even, V odd) {
        for (int i = 0; i < kSums; ++i) sums[i] = multiply_add(i % 2 ? odd : even, right[i / 2 % kRight], sums[i]);
    }
    double result() const { return first_lane(sums, kSums); }
};

template <class V>
double multiply_adds(int64_t steps) {
    V even = V{} + 0.5f, odd = V{} + 0.25f;
    Sums<V> sums;
    for (; steps > 0; --steps) {
        forget(even);
        forget(odd);
        sums.add(even, odd);
    }
    return sums.result();
}

template <class V>
constexpr double multiply_add_operations() {
    return 2.0 * kSums * sizeof(V) / sizeof(V{}[0]);
}

// bfloat16 without an instruction for it: a pair is cut into two float32, each of which goes into half of the sums.
double shifted_bfloat16(int64_t steps) {
    U32 pair = U32{} + 0x3F003E80u;
    Sums<F32> sums;
    for (; steps > 0; --steps) {
        forget(pair);
        sums.add((F32)(pair << 16), (F32)(pair & 0xFFFF0000u));
    }
    return sums.result();
}

constexpr MatrixLoop float32_loop(const char* how) { return {multiply_adds<F32>, multiply_add_operations<F32>(), how}; }
constexpr MatrixLoop float64_loop(const char* how) { return {multiply_adds<F64>, multiply_add_operations<F64>(), how}; }
constexpr MatrixLoop shifted_bfloat16_loop(const char* how) {
    return {shifted_bfloat16, multiply_add_operations<F32>(), how};
}

}  // namespace
}  // namespace hr
