// What each instruction set provides to three_towers.cpp.
#pragma once

#include "three_towers/three_towers.h"

namespace hr {

constexpr int64_t kMaxBlock = 32;

inline int64_t towers_width(const hr_towers_model& m) { return (2 * m.dim + m.targets + 15) / 16 * 16; }

// A request as its candidates see it: its row; its part of the upper network's sums, [H]; and the upper network's
// weights [2 dim][H] with those of item times user folded into those of the item.
struct TowersRequest {
    float *row, *start, *upper;
};

inline int64_t towers_request_size(const hr_towers_model& m) {
    return towers_width(m) + (1 + 2 * m.dim) * m.upper_units;
}

inline TowersRequest towers_request(const hr_towers_model& m, float* place) {
    float* start = place + towers_width(m);
    return {place, start, start + m.upper_units};
}

// Candidates of one request, and where their logits go: out[target * stride + candidate].
struct TowersTask {
    TowersRequest request;
    const int64_t* item;
    const int32_t* codes;
    const float* dynamic;
    int64_t fields, count, stride;
    float* out;
};

// Numbers that a request, and a block of candidates, need to work in.
inline int64_t towers_scratch(const hr_towers_model& m) {
    const int64_t block = (towers_width(m) + m.dynamic_width + m.upper_units) * kMaxBlock;
    return block > m.tower_units + m.dim ? block : m.tower_units + m.dim;
}

struct TowersKernels {
    void (*request)(const hr_towers_model& model, const float* x, const TowersRequest& out, float* scratch);
    void (*candidates)(const hr_towers_model& model, const TowersTask& task, float* scratch);
};

extern const TowersKernels towers_kernels_scalar, towers_kernels_avx2, towers_kernels_avx512;

}  // namespace hr
