// What each instruction set provides to mixture_of_experts.cpp.
#pragma once

#include "mixture_of_experts/mixture_of_experts.h"

namespace hr {

constexpr int64_t kMaxBlock = 32;

// Where the parts of a row stand.
struct MixtureRow {
    int64_t wide, embedding, hidden, width;
    explicit MixtureRow(const hr_mixture_model& m)
        : wide(m.targets * m.experts),
          embedding(wide + m.targets),
          hidden((embedding + m.dim + 15) / 16 * 16),
          width(hidden + (m.experts * m.hidden + 15) / 16 * 16) {}
};

// A request as its candidates see it: its row, its taste, and its behaviours [count][dim] and, scaled for the dot
// products, [dim][count].
struct MixtureRequest {
    const float *row, *taste, *behaviours, *keys;
    int64_t count;
};

// Candidates of one request, and where their logits go: out[target * stride + candidate].
struct MixtureTask {
    MixtureRequest request;
    const int64_t* item;
    const int32_t* codes;
    const float* dynamic;
    int64_t fields, count, stride;
    float* out;
};

// Columns that a block of candidates needs to work in.
inline int64_t mixture_columns(const hr_mixture_model& m, int64_t longest) {
    const int64_t hidden = m.hidden > longest ? m.hidden : longest;
    const int64_t inputs = m.dim * (1 + m.attention) + m.dynamic_width;
    return MixtureRow(m).hidden + inputs + hidden + m.experts * m.units + m.units + m.head_units;
}

struct MixtureKernels {
    // out[o] = sum_i x[i] * weight[i][o].
    void (*row)(const float* x, int64_t inputs, const float* weight, int64_t outputs, float* out);
    // scratch: mixture_columns * kMaxBlock numbers.
    void (*candidates)(const hr_mixture_model& model, const MixtureTask& task, float* scratch);
};

extern const MixtureKernels mixture_kernels_scalar, mixture_kernels_avx2, mixture_kernels_avx512;

}  // namespace hr
