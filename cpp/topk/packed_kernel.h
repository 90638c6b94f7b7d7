// The scan of a packed catalogue, written once and built for each instruction set and kind of number.
//
// Numbers says how words of low-precision values multiply: kQueries (that one call takes), kVecs (vectors of items side
// by side), kOrder (of a query's words), kScaled (each item has a scale), Sum, Column (items), Word (a query, in all
// lanes); start, load, spread, step, and floats (the products of a sum, times the query's scale).
#pragma once

#include "topk/packed_kernels.h"
#include "topk/select_kernel.h"

namespace hr {
namespace {

// Rarely needed, so kept out of the way.
template <int V>
__attribute__((noinline)) void append_lanes(const Vec* scores, uint32_t admitted, int32_t first_row, Sink& sink) {
    constexpr int L = Vec::kLanes;
    constexpr uint32_t kAll = (1ull << L) - 1;
    if (sink.mask) admitted &= static_cast<uint32_t>(sink.mask[first_row >> 6] >> (first_row & 63));
    for (int v = 0; v < V; ++v) {
        const uint32_t lanes = admitted >> (v * L) & kAll;
        if (lanes) append_run(scores[v], lanes, first_row + v * L, sink.survivors);
    }
}

// Scores kVecs vectors of items for M queries. Loops are unrolled so that sums stay in registers.
template <class Numbers, bool kShifted, int M>
inline void scan_lanes(const uint32_t* heads, const uint32_t* x, int64_t steps, const PackedGroup& queries,
                       const float* limits, uint32_t allowed, int32_t first_row, Sink* sinks) {
    constexpr int L = Vec::kLanes, V = Numbers::kVecs;
    typename Numbers::Sum sum[M][V];
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[m][v] = Numbers::start(queries.starts[m]);
    constexpr int kWords = Numbers::kOrder == QueryOrder::kHalves ? 2 : 1;
    const uint32_t* words = queries.words;
    for (int64_t step = 0; step < steps; ++step, words += M * kWords, x += kPanel) {
        typename Numbers::Column column[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) column[v] = Numbers::load(x + v * L);
#pragma GCC unroll 16
        for (int m = 0; m < M; ++m) {
            const typename Numbers::Word word = Numbers::spread(words + m * kWords);
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) sum[m][v] = Numbers::step(sum[m][v], column[v], word);
        }
    }
    const auto* scales = reinterpret_cast<const float*>(heads);
    const float* shifts = scales + (Numbers::kScaled ? kPanel : 0);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
        Vec score[V];
        uint32_t admitted = 0;
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            score[v] = Numbers::floats(sum[m][v], queries.scales[m]);
            if (Numbers::kScaled) score[v] = score[v] * Vec::load(scales + v * L);
            if (kShifted) score[v] = score[v] + Vec::load(shifts + v * L);
            admitted |= score[v].at_least(Vec::all(limits[m])) << (v * L);
        }
        admitted &= allowed;
        if (__builtin_expect(admitted != 0, 0)) append_lanes<V>(score, admitted, first_row, sinks[m]);
    }
}

template <class Numbers, bool kShifted, int M>
void scan_packed(const PackedTile& tile, const PackedGroup& queries, const float* limits, Sink* sinks) {
    constexpr int kLanes = Numbers::kVecs * Vec::kLanes;
    for (int p = 0; p < tile.n_panels; ++p) {
        if (!tile.allowed[p]) continue;
        const auto* heads = reinterpret_cast<const uint32_t*>(tile.panels + p * tile.panel_bytes);
        const uint32_t* x = heads + (Numbers::kScaled + kShifted) * kPanel;
        for (int lane = 0; lane < kPanel; lane += kLanes)
            scan_lanes<Numbers, kShifted, M>(heads + lane, x + lane, tile.steps, queries, limits,
                                             tile.allowed[p] >> lane, tile.first_row + p * kPanel + lane, sinks);
    }
}

template <class Numbers, bool kShifted, int M = Numbers::kQueries>
void scan_packed_any(const PackedTile& tile, const PackedGroup& queries, const float* limits, Sink* sinks) {
    if (queries.size == M) return scan_packed<Numbers, kShifted, M>(tile, queries, limits, sinks);
    if constexpr (M > 1) scan_packed_any<Numbers, kShifted, M - 1>(tile, queries, limits, sinks);
}

template <class Numbers>
constexpr PackedKernels packed_kernels{Numbers::kQueries, Numbers::kOrder, scan_packed_any<Numbers, false>,
                                       scan_packed_any<Numbers, true>};

}  // namespace
}  // namespace hr
