// What each instruction set provides to the greedy loops of dpp.cpp and mmr.cpp.
#pragma once

#include <cstdint>

namespace hr {

// Items are handled in panels of 16: a panel holds [width][16] float32, and arrays over items hold 16 numbers for it.
constexpr int64_t kPanel = 16;
// Rows of float64 are padded with zeros to whole blocks.
constexpr int64_t kBlock = 8;

// Rows of numbers, each `stride` apart (float64: whole blocks).
template <class T>
struct Rows {
    const T* data;
    int64_t stride;
    const T* at(int64_t t) const { return data + t * stride; }
};

// How an item's d2 becomes its score: base * max(d2, eps), or base + weight * log(max(d2, eps)). A product of an item
// with a unit vector is known to delta * |item|.
struct Scoring {
    bool product;
    double weight, eps, delta;
};

// score = base - weight * likeness, and how far a score may be off.
struct Relevance {
    double weight, slack;
};

// How many of the newest picks later bounds count on, falling, at least 1.
constexpr int kStages = 4;
struct Fade {
    int64_t newest[kStages];
};

// Bounds of the scores of a panel's items, [16] each. Items that are gone have -infinity.
struct Bounds {
    double *lower, *upper;
};

// Of each item, [16]: its largest product with the rows so far, the largest but one, and which row the largest is of.
struct Peaks {
    float *first, *second, *row;
};

// Products of items and rows are taken in float32; the bounds allow for their rounding.
struct GreedyKernels {
    bool (*finite)(const float* x, int64_t n);
    // squares[i] = <row i, row i> and, unless `probe` is null, products[i] = <row i, probe>, of n rows of `width`.
    void (*scan)(const float* rows, int64_t n, int64_t width, const float* probe, float* squares, float* products);
    // panel[c * 16 + lane] = rows[lane][c]; squares = <row, row>; norms are their roots. Null squares: neither.
    void (*pack)(const float* const* rows, int64_t width, float* panel, double* squares, double* norms);
    // d2 += sign[t] * <item, row t>^2 and drift += |<item, row t>| for t = from..to-1.
    void (*move)(const float* panel, int64_t width, Rows<float> rows, const float* sign, int64_t from, int64_t to,
                 double* d2, double* drift);
    // Bounds of the scores of items whose d2 is the sum of `moves` moves. Returns the largest upper bound.
    double (*bound)(const double* base, const double* d2, const double* drift, const double* norms, int64_t moves,
                    const Scoring& scoring, Bounds bounds);
    // Peaks of rows up to `to`, when those up to `from` are known: bounds of base - weight * peak. Returns the largest.
    double (*grow)(const float* panel, int64_t width, Rows<float> rows, int64_t from, int64_t to, const double* base,
                   const Relevance& relevance, Peaks peaks, Bounds bounds);
    // The largest upper bound of base - weight * <item, row>.
    double (*touch)(const float* panel, int64_t width, const float* row, const double* base,
                    const Relevance& relevance);
    // columns[t % held] = <item, row t>, t = from..to-1: bounds of base - weight * largest of the columns of rows
    // max(0, to - held)..to-1. Returns the largest; later[s] is what it would be with the fade.newest[s] rows alone.
    double (*slide)(const float* panel, int64_t width, Rows<float> rows, int64_t from, int64_t to, int64_t held,
                    const double* base, const Relevance& relevance, float* columns, Bounds bounds, const Fade& fade,
                    double* later);
    // The index of the largest of n numbers, whole blocks; ties go to the lower.
    int64_t (*highest)(const double* x, int64_t n);
    // The largest of the lanes whose bit is set in `allowed`.
    double (*largest)(const double* x, uint32_t allowed);
    // The lanes that are at least `bar`.
    uint32_t (*reach)(const double* x, double bar);
    // The lanes of a panel whose kind is among `some`.
    uint32_t (*among)(const int32_t* kinds, const int32_t* some, int64_t count);
    // out = x, n numbers, and zeros to the end of the block.
    void (*widen)(const float* x, int64_t n, double* out);
    // out = scale * x, whole blocks.
    void (*scale)(const double* x, int64_t n, double scale, double* out);
    // out = x, n numbers.
    void (*narrow)(const double* x, int64_t n, float* out);
    // out[t] = <row t, x>.
    void (*products)(Rows<double> rows, int64_t count, const double* x, double* out);
    // rest -= sum_t weight[t] * row t; returns <rest, rest>.
    double (*subtract)(Rows<double> rows, int64_t count, const double* weight, double* rest);
    // (x, y) = (c x + s y, c y - s x) over n numbers, whole blocks.
    void (*rotate)(double* x, double* y, int64_t n, double c, double s);
    // out = exp(scale * (x - shift)), n numbers, whole blocks; scale * (x - shift) in [-700, 0].
    void (*exponentials)(const double* x, int64_t n, double scale, double shift, double* out);
    double (*logarithm)(double x);
};

extern const GreedyKernels greedy_kernels_scalar, greedy_kernels_avx2, greedy_kernels_avx512;

}  // namespace hr
