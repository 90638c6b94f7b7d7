// What each instruction set provides to beam_search.cpp.
#pragma once

#include <cstdint>

namespace hr {

constexpr int64_t kPanel = 8;

// A partial path: its log-probability and its nodes as digits of base K, first node highest.
struct Partial {
    double logp;
    int64_t code;
};

struct BeamKernels {
    // out[r][o] = bias[o] + sum_i x[r][i] * weight[o][i], in order of i; weight packed in panels, out [rows][8 panels].
    void (*affine)(const double* x, int64_t rows, int64_t width, const double* weight, const double* bias,
                   int64_t panels, double* out);
    // out = max(0, base + the sum of `count` rows, in order); hidden is a multiple of 8.
    void (*hidden)(const double* base, const double* const* rows, int64_t count, int64_t hidden, double* out);
    // The largest of x[0..8 panels) into *peak, and the sum of exp(x - peak).
    double (*sum_exp)(const double* x, int64_t panels, double* peak);
    // Writes (parent + (x[c] - norm), code + c) for every node c < nodes whose value is at least `floor`; returns how
    // many. `out` has room for `nodes`.
    int64_t (*admit)(const double* x, int64_t nodes, double norm, Partial parent, double floor, Partial* out);
};

extern const BeamKernels beam_kernels_scalar, beam_kernels_avx2, beam_kernels_avx512;

}  // namespace hr
