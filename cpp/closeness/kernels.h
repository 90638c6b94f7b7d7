// What each instruction set offers.
#pragma once

#include <cstdint>

namespace hr {

// One request's candidates, checked: every item is a row of content.
struct ClosenessCall {
    const float* content;
    int64_t dim;
    const float* lanes;  // [dim, width]: lane 0 the mean of the recent vectors, the others one each, repeated to fill
    int64_t width;       // a multiple of kClosenessLanes
    const int64_t* item;
    int64_t n;
    float* out;  // [n, 2]
};

constexpr int64_t kClosenessLanes = 16;

struct ClosenessKernels {
    // False when a result is not finite.
    bool (*closeness)(const ClosenessCall& call);
};

extern const ClosenessKernels closeness_kernels_scalar, closeness_kernels_avx2, closeness_kernels_avx512;

}  // namespace hr
