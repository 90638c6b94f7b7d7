// What each instruction set provides to the greedy loops of dpp.cpp and mmr.cpp.
#pragma once

#include <cstdint>

namespace hr {

// Items are handled in panels of 16: a panel holds [width][16] float32, and arrays over items hold 16 numbers for it.
constexpr int64_t kPanel = 16;
// Rows of float64 are padded with zeros to whole blocks.
constexpr int64_t kBlock = 8;

// Rows of float64, each `stride` apart (whole blocks).
struct Rows {
    const double* data;
    int64_t stride;
    const double* at(int64_t t) const { return data + t * stride; }
};

// How a panel's d2 becomes its score: base * max(d2, eps), or base + weight * log(max(d2, eps)).
struct Scoring {
    bool product;
    double weight, eps;
};

struct GreedyKernels {
    bool (*finite)(const float* x, int64_t n);
    // panel[c * 16 + lane] = rows[lane][c]; squares = <row, row>.
    void (*pack)(const float* const* rows, int64_t width, float* panel, double* squares);
    // d2 += sign[t] * <item, row t>^2 for t = from..to-1 in turn.
    void (*move)(const float* panel, int64_t width, Rows rows, const double* sign, int64_t from, int64_t to,
                 double* d2);
    // Writes the scores and returns the largest.
    double (*score)(const double* base, const double* d2, const Scoring& scoring, double* score);
    // peak = largest of itself and <item, row t>, t = from..to-1; score = base - weight * peak. Returns the largest.
    double (*grow)(const float* panel, int64_t width, Rows rows, int64_t from, int64_t to, const double* base,
                   double weight, double* peak, double* score);
    // columns[t % held] = <item, row t>, t = from..to-1; score = base - weight * largest of the columns of rows
    // max(0, to - held)..to-1. Returns the largest.
    double (*slide)(const float* panel, int64_t width, Rows rows, int64_t from, int64_t to, int64_t held,
                    const double* base, double weight, double* columns, double* score);
    // The largest score of the lanes whose bit is set in `allowed`; the lanes that have it (0 where it is -infinity).
    uint32_t (*best)(const double* score, uint32_t allowed, double* top);
    // The lanes of a panel whose kind is among `some`.
    uint32_t (*among)(const int32_t* kinds, const int32_t* some, int64_t count);
    // rest -= sum_t weight[t] * row t with weight[t] = <row t, rest>; returns <rest, rest>.
    double (*project)(Rows rows, int64_t count, double* weight, double* rest);
    // (x, y) = (c x + s y, c y - s x) over n numbers, whole blocks.
    void (*rotate)(double* x, double* y, int64_t n, double c, double s);
    // out = exp(scale * (x - shift)), n numbers, whole blocks; scale * (x - shift) in [-700, 0].
    void (*exponentials)(const double* x, int64_t n, double scale, double shift, double* out);
    double (*logarithm)(double x);
};

const GreedyKernels* greedy_kernels_scalar();
const GreedyKernels* greedy_kernels_avx2();
const GreedyKernels* greedy_kernels_avx512();

}  // namespace hr
