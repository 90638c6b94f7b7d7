// The top-k scan, written once and built once per instruction set.
#pragma once

#include "topk/kernels.h"
#include "topk/transpose.h"

namespace hr {
namespace {

constexpr int kVecs = Vec::kLanes == 1 ? 4 : 2;
constexpr int kGroup = Vec::kLanes == 16 ? kMaxGroup : Vec::kLanes == 8 ? 6 : 4;

// kLanes items from `row` on: their columns go to `out`, kPanel apart; returns the sums of squares.
inline Vec pack_strip(const float* const* rows, int64_t dim, float* out) {
    constexpr int L = Vec::kLanes;
    Vec squares = Vec::zero(), block[L];
    int64_t j = 0;
    for (; j + L <= dim; j += L) {
        for (int i = 0; i < L; ++i) block[i] = Vec::load(rows[i] + j);
        transpose(block);
        for (int c = 0; c < L; ++c) {
            block[c].store(out + (j + c) * kPanel);
            squares = fma(block[c], block[c], squares);
        }
    }
    if (j < dim) {
        for (int i = 0; i < L; ++i) block[i] = Vec::load_first(rows[i] + j, static_cast<int>(dim - j));
        transpose(block);
        for (int c = 0; c < dim - j; ++c) {
            block[c].store(out + (j + c) * kPanel);
            squares = fma(block[c], block[c], squares);
        }
    }
    return squares;
}

void pack(const float* items, int64_t dim, Tile& tile) {
    constexpr int L = Vec::kLanes;
    const float* rows[L];
    const int padded = (tile.size + kPanel - 1) / kPanel * kPanel;
    for (int first = 0; first < padded; first += L) {
        for (int i = 0; i < L; ++i) {
            const int at = first + i < tile.size ? first + i : tile.size - 1;
            rows[i] = items + tile.rows[at] * dim;
        }
        float* out = tile.panels + first / kPanel * kPanel * dim + first % kPanel;
        pack_strip(rows, dim, out).store(tile.squares + first);
    }
}

inline void append(Vec scores, uint32_t admitted, const int32_t* rows, Sink& sink) {
    float lanes[Vec::kLanes];
    scores.store(lanes);
    for (; admitted; admitted &= admitted - 1) {
        const int lane = __builtin_ctz(admitted);
        const int32_t row = rows[lane];
        if (sink.mask && !(sink.mask[row >> 6] >> (row & 63) & 1)) continue;
        sink.scores[sink.count] = lanes[lane];
        sink.rows[sink.count++] = row;
    }
}

template <int M>
void scan_group(const Tile& tile, int64_t dim, const float* queries, const float* limits, Sink* sinks) {
    constexpr int L = Vec::kLanes;
    for (int first = 0; first < tile.size; first += kVecs * L) {
        const float* x = tile.panels + first / kPanel * kPanel * dim + first % kPanel;
        Vec sum[M][kVecs];
        for (int m = 0; m < M; ++m)
            for (int v = 0; v < kVecs; ++v) sum[m][v] = Vec::zero();
        for (int64_t j = 0; j < dim; ++j) {
            Vec column[kVecs];
            for (int v = 0; v < kVecs; ++v) column[v] = Vec::load(x + j * kPanel + v * L);
            for (int m = 0; m < M; ++m) {
                const Vec q = Vec::all(queries[j * M + m]);
                for (int v = 0; v < kVecs; ++v) sum[m][v] = fma(q, column[v], sum[m][v]);
            }
        }
        for (int v = 0; v < kVecs; ++v) {
            const int at = first + v * L;
            const Vec scale = Vec::load(tile.scale + at), shift = Vec::load(tile.shift + at);
            for (int m = 0; m < M; ++m) {
                const Vec score = fma(sum[m][v], scale, shift);
                const uint32_t admitted = score.at_least(Vec::all(limits[m]));
                if (admitted) append(score, admitted, tile.rows + at, sinks[m]);
            }
        }
    }
}

template <int M>
void scan_any(const Tile& tile, int64_t dim, const float* queries, int group, const float* limits, Sink* sinks) {
    if (group == M) return scan_group<M>(tile, dim, queries, limits, sinks);
    if constexpr (M > 1) scan_any<M - 1>(tile, dim, queries, group, limits, sinks);
}

int64_t count_at_least(const float* values, int64_t n, float t) {
    int32_t count = 0;  // n is below 2^31; a narrow count keeps the loop in vectors
    for (int64_t i = 0; i < n; ++i) count += values[i] >= t;
    return count;
}

inline double fold(double* lanes) {
    for (int width = 4; width; width /= 2)
        for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    return lanes[0];
}

// The order of these additions is part of the answer: every backend uses it, so every backend ranks alike.
template <class Term>
inline double sum_in_lanes(const float* a, const float* b, int64_t dim, Term term) {
    double lanes[8] = {};
    int64_t j = 0;
    for (; j + 8 <= dim; j += 8)
        for (int i = 0; i < 8; ++i) lanes[i] += term(static_cast<double>(a[j + i]), static_cast<double>(b[j + i]));
    for (int i = 0; j + i < dim; ++i) lanes[i] += term(static_cast<double>(a[j + i]), static_cast<double>(b[j + i]));
    return fold(lanes);
}

double dot(const float* a, const float* b, int64_t dim) {
    return sum_in_lanes(a, b, dim, [](double x, double y) { return x * y; });
}

double distance(const float* a, const float* b, int64_t dim) {
    return sum_in_lanes(a, b, dim, [](double x, double y) { return (x - y) * (x - y); });
}

constexpr TopkKernels kKernels{kGroup, pack, scan_any<kGroup>, count_at_least, dot, distance};

}  // namespace
}  // namespace hr
