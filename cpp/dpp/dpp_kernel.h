// The greedy loops' inner kernels, written once for Vec and Vec64. Every item has its own lane. What decides is
// float64 and summed in one fixed order, so all instruction sets give the same bits.
#pragma once

#include "dpp/basis_kernel.h"
#include "dpp/exponential_kernel.h"
#include "dpp/lists_kernel.h"

namespace hr {
namespace {

// How many rows are taken at once, so that all sums stay in registers.
constexpr int kMostRows = kLanes == 8 ? 6 : 3;
// Roundings of a sum of e'^2 over kMostRows rows, and that of a sum of |e'|, which is at least 0.99 of what it should
// be.
constexpr double kSumming = 1.1 * (kMostRows + 2) * 0x1p-24;
constexpr double kMinusInfinity = -__builtin_inf();

void add_to(Vec x, double* sum) {
    float parts[Vec::kLanes];
    x.store(parts);
    constexpr int kStep = kLanes < Vec::kLanes ? kLanes : Vec::kLanes;
    for (int i = 0; i < Vec::kLanes; i += kStep) (Vec64::load(sum + i) + Vec64::load(parts + i)).store(sum + i);
}

// Inner products of M rows with the items of one vector of lanes, each in kSums interleaved sums.
template <int M>
__attribute__((always_inline)) inline void dots(const float* panel, int64_t width, const float* row, int64_t stride,
                                                Vec (&out)[M]) {
    Vec sum[M][kSums];
    for (int m = 0; m < M; ++m)
        for (Vec& s : sum[m]) s = Vec::zero();
    int64_t c = 0;
    for (; c + kSums <= width; c += kSums)
        for (int s = 0; s < kSums; ++s) {
            const Vec a = Vec::load(panel + (c + s) * kPanel);
            for (int m = 0; m < M; ++m) sum[m][s] = multiply_add(a, Vec::all(row[m * stride + c + s]), sum[m][s]);
        }
    for (; c < width; ++c) {
        const Vec a = Vec::load(panel + c * kPanel);
        for (int m = 0; m < M; ++m) sum[m][0] = multiply_add(a, Vec::all(row[m * stride + c]), sum[m][0]);
    }
    for (int m = 0; m < M; ++m) out[m] = (sum[m][0] + sum[m][1]) + (sum[m][2] + sum[m][3]);
}

template <int M, class Use>
__attribute__((always_inline)) inline void rows_at_once(const float* panel, int64_t width, Rows<float> rows,
                                                        int64_t from, const Use& use) {
    for (int lane = 0; lane < static_cast<int>(kPanel); lane += Vec::kLanes) {
        Vec out[M];
        dots<M>(panel + lane, width, rows.at(from), rows.stride, out);
        use(from, lane, out);
    }
}

// Calls use(t, first lane, products with rows t, t + 1, ...) for rows from..to-1, in even portions.
template <class Use>
void each_row(const float* panel, int64_t width, Rows<float> rows, int64_t from, int64_t to, const Use& use) {
    while (from < to) {
        const int64_t left = to - from, portions = (left + kMostRows - 1) / kMostRows;
        const int64_t take = (left + portions - 1) / portions;
        if (take == 1) rows_at_once<1>(panel, width, rows, from, use);
        if (take == 2) rows_at_once<2>(panel, width, rows, from, use);
        if (take == 3) rows_at_once<3>(panel, width, rows, from, use);
        if constexpr (kMostRows > 3) {
            if (take == 4) rows_at_once<4>(panel, width, rows, from, use);
            if (take == 5) rows_at_once<5>(panel, width, rows, from, use);
            if (take == 6) rows_at_once<6>(panel, width, rows, from, use);
        }
        from += take;
    }
}

// What a portion does is summed in float32: at most kMostRows + 1 roundings, which `bound` allows for.
void move(const float* panel, int64_t width, Rows<float> rows, const float* sign, int64_t from, int64_t to, double* d2,
          double* drift) {
    each_row(panel, width, rows, from, to, [&](int64_t t, int lane, const auto& out) {
        Vec squares = Vec::zero(), sizes = Vec::zero();
        for (const Vec& e : out) {
            squares = multiply_add(e * Vec::all(sign[t++]), e, squares);
            sizes = sizes + absolute(e);
        }
        add_to(squares, d2 + lane);
        add_to(sizes, drift + lane);
    });
}

double largest(const Vec64 (&x)[kVecs]) {
    Vec64 top = x[0];
    for (int v = 1; v < kVecs; ++v) top = max(x[v], top);
    return highest_lane(top);
}

double bound(const double* base, const double* d2, const double* drift, const double* norms, int64_t moves,
             const Scoring& scoring, Bounds bounds) {
    const Vec64 eps = Vec64::all(scoring.eps), weight = Vec64::all(scoring.weight);
    const Vec64 delta = Vec64::all(scoring.delta), of_drift = Vec64::all(2.0 * scoring.delta + kSumming);
    const Vec64 count = Vec64::all(static_cast<double>(moves) * scoring.delta);
    Vec64 upper[kVecs];
    for (int v = 0; v < kVecs; ++v) {
        const int at = v * kLanes;
        // |e^2 - e'^2| <= (2 |e'| + delta |item|) delta |item|, what summing e'^2 <= 1.01 |e'| |item| in float32
        // rounds, and what float64 rounds itself.
        const Vec64 norm = Vec64::load(norms + at);
        const Vec64 error =
            norm * (of_drift * Vec64::load(drift + at) + delta * (count * norm) + Vec64::all(1e-13) * norm);
        const Vec64 rest = Vec64::load(d2 + at), b = Vec64::load(base + at);
        const Vec64 high = max(rest + error, eps), low = max(rest - error, eps);
        if (scoring.product) {
            upper[v] = b * high;
            (b * low * Vec64::all(1.0 - 1e-12)).store(bounds.lower + at);
        } else {
            upper[v] = b + weight * log_of(high);
            (b + weight * log_of(low)).store(bounds.lower + at);
        }
        upper[v].store(bounds.upper + at);
    }
    return largest(upper);
}

double relevances(const double* base, const Relevance& relevance, const float* peak, Bounds bounds) {
    Vec64 upper[kVecs];
    for (int v = 0; v < kVecs; ++v) {
        const Vec64 score =
            Vec64::load(base + v * kLanes) - Vec64::all(relevance.weight) * Vec64::load(peak + v * kLanes);
        upper[v] = score + Vec64::all(relevance.slack);
        upper[v].store(bounds.upper + v * kLanes);
        (score - Vec64::all(relevance.slack)).store(bounds.lower + v * kLanes);
    }
    return largest(upper);
}

double grow(const float* panel, int64_t width, Rows<float> rows, int64_t from, int64_t to, const double* base,
            const Relevance& relevance, Peaks peaks, Bounds bounds) {
    each_row(panel, width, rows, from, to, [&](int64_t t, int lane, const auto& out) {
        Vec first = Vec::load(peaks.first + lane), second = Vec::load(peaks.second + lane);
        Vec row = Vec::load(peaks.row + lane);
        for (const Vec& x : out) {
            second = max(min(x, first), second);
            row = where_greater(x, first, Vec::all(static_cast<float>(t++)), row);
            first = max(x, first);
        }
        first.store(peaks.first + lane);
        second.store(peaks.second + lane);
        row.store(peaks.row + lane);
    });
    return relevances(base, relevance, peaks.first, bounds);
}

double most_relevant(const double* base, const Relevance& relevance, const float* peak) {
    Vec64 upper[kVecs];
    for (int v = 0; v < kVecs; ++v)
        upper[v] = Vec64::load(base + v * kLanes) - Vec64::all(relevance.weight) * Vec64::load(peak + v * kLanes);
    return largest(upper) + relevance.slack;
}

double touch(const float* panel, int64_t width, const float* row, const double* base, const Relevance& relevance) {
    float products[kPanel];
    rows_at_once<1>(panel, width, {row, width}, 0,
                    [&](int64_t, int lane, const auto& out) { out[0].store(products + lane); });
    return most_relevant(base, relevance, products);
}

double slide(const float* panel, int64_t width, Rows<float> rows, int64_t from, int64_t to, int64_t held,
             const double* base, const Relevance& relevance, float* columns, Bounds bounds, const Fade& fade,
             double* later) {
    each_row(panel, width, rows, from, to, [&](int64_t t, int lane, const auto& out) {
        for (const Vec& x : out) x.store(columns + t++ % held * kPanel + lane);
    });
    const int64_t filled = to < held ? to : held;
    float peaks[kStages + 1][kPanel];
    for (int lane = 0; lane < static_cast<int>(kPanel); lane += Vec::kLanes) {
        int64_t at = (to - 1) % held;
        Vec top = Vec::load(columns + at * kPanel + lane);
        int stage = kStages;
        for (int64_t age = 1; age < filled; ++age) {
            while (stage && age == fade.newest[stage - 1]) top.store(peaks[--stage] + lane);
            at = at ? at - 1 : held - 1;
            top = max(Vec::load(columns + at * kPanel + lane), top);
        }
        while (stage) top.store(peaks[--stage] + lane);
        top.store(peaks[kStages] + lane);
    }
    for (int stage = 0; stage < kStages; ++stage) later[stage] = most_relevant(base, relevance, peaks[stage]);
    return relevances(base, relevance, peaks[kStages], bounds);
}

int64_t highest(const double* x, int64_t n) {
    Vec64 top[kBlockVecs];
    for (int v = 0; v < kBlockVecs; ++v) top[v] = Vec64::load(x + v * kLanes);
    for (int64_t i = kBlock; i < n; i += kBlock)
        for (int v = 0; v < kBlockVecs; ++v) top[v] = max(Vec64::load(x + i + v * kLanes), top[v]);
    for (int v = 1; v < kBlockVecs; ++v) top[0] = max(top[v], top[0]);
    const double most = highest_lane(top[0]);
    for (int64_t i = 0; i < n; i += kLanes)
        if (const uint32_t lanes = at_least(Vec64::load(x + i), Vec64::all(most))) return i + __builtin_ctz(lanes);
    return 0;
}

double largest_of(const double* x, uint32_t allowed) {
    Vec64 lanes[kVecs];
    for (int v = 0; v < kVecs; ++v)
        lanes[v] = choose(allowed >> (v * kLanes), Vec64::load(x + v * kLanes), Vec64::all(kMinusInfinity));
    return largest(lanes);
}

uint32_t reach(const double* x, double bar) {
    uint32_t lanes = 0;
    for (int v = 0; v < kVecs; ++v) lanes |= at_least(Vec64::load(x + v * kLanes), Vec64::all(bar)) << (v * kLanes);
    return lanes;
}

uint32_t among(const int32_t* kinds, const int32_t* some, int64_t count) {
    uint32_t lanes = 0;
    for (int64_t i = 0; i < count; ++i) lanes |= equal_lanes(kinds, some[i]);
    return lanes;
}

constexpr GreedyKernels kKernels{finite, scan,     pack,       move,   bound,        grow,     touch,
                                 slide,  highest,  largest_of, reach,  among,        widen,    scale,
                                 narrow, products, subtract,   rotate, exponentials, logarithm};

}  // namespace
}  // namespace hr
