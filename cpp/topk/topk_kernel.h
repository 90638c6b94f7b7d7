// The top-k scan, written once and built once per instruction set.
#pragma once

#include "core/transpose.h"
#include "topk/kernels.h"
#include "topk/rescore_kernel.h"
#include "topk/select_kernel.h"

namespace hr {
namespace {

constexpr int kVecs = Vec::kLanes == 1 ? 4 : 2;
constexpr int kGroup = Vec::kLanes == 16 ? kMaxGroup : Vec::kLanes == 8 ? 6 : 4;

// Transposes `columns` values from each of the rows at j into `out`, columns kPanel apart; adds their squares to four
// sums, so that no addition waits for the last.
inline void pack_block(const float* const* rows, int64_t j, int columns, float* out, Vec squares[4]) {
    constexpr int L = Vec::kLanes;
    Vec block[L];
    for (int i = 0; i < L; ++i)
        block[i] = columns == L ? Vec::load(rows[i] + j) : Vec::load_first(rows[i] + j, columns);
    transpose(block);
    for (int c = 0; c < L; ++c) {
        if (c >= columns) break;
        block[c].store(out + (j + c) * kPanel);
        squares[c % 4] = multiply_add(block[c], block[c], squares[c % 4]);
    }
}

// Transposing reads across rows, which hides their order from the hardware's prefetcher.
inline void fetch(const float* items, int64_t dim, const Tile& tile, int first) {
    constexpr int64_t kLine = 64 / sizeof(float);
    for (int i = first; i < first + Vec::kLanes && i < tile.size; ++i)
        for (int64_t j = 0; j < dim; j += kLine) __builtin_prefetch(items + tile.rows[i] * dim + j, 0, 2);
}

inline void rows_of(const float* items, int64_t dim, const Tile& tile, int first, const float** rows) {
    for (int i = 0; i < Vec::kLanes; ++i) rows[i] = items + tile.rows[first + i] * dim;
}

// What the sums of squares say of a tile as a whole.
class Lengths {
  public:
    void see(Vec squares) {
        longest_ = max(squares, longest_);
        usual_ &= Vec::all(kUsualSquares).at_least(squares);
    }
    void write(Tile& tile) const {
        float lanes[Vec::kLanes];
        longest_.store(lanes);
        tile.longest = 0.0f;
        for (float lane : lanes) tile.longest = lane > tile.longest ? lane : tile.longest;
        tile.usual = usual_ == kAll;
    }

  private:
    static constexpr uint32_t kAll = (1u << Vec::kLanes) - 1;
    Vec longest_ = Vec::zero();
    uint32_t usual_ = kAll;
};

void pack(const float* items, int64_t dim, Tile& tile) {
    constexpr int L = Vec::kLanes;
    const float* rows[L];
    Lengths lengths;
    const int padded = (tile.size + kPanel - 1) / kPanel * kPanel;
    for (int first = 0; first < padded; first += L) {
        fetch(items, dim, tile, first + 2 * L);
        rows_of(items, dim, tile, first, rows);
        float* out = tile.panels + first / kPanel * kPanel * dim + first % kPanel;
        Vec squares[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
        int64_t j = 0;
        for (; j + L <= dim; j += L) pack_block(rows, j, L, out, squares);
        if (j < dim) pack_block(rows, j, static_cast<int>(dim - j), out, squares);
        const Vec total = squares[0] + squares[1] + (squares[2] + squares[3]);
        total.store(tile.squares + first);
        lengths.see(total);
    }
    lengths.write(tile);
}

// Those of the lanes whose rows the query's own mask allows.
inline uint32_t allowed(uint32_t admitted, const int32_t* rows, const uint64_t* mask) {
    uint32_t chosen = 0;
    for (; admitted; admitted &= admitted - 1) {
        const int32_t row = rows[__builtin_ctz(admitted)];
        if (mask[row >> 6] >> (row & 63) & 1) chosen |= admitted & -admitted;
    }
    return chosen;
}

inline void admit(Vec dot, const Tile& tile, int at, float limit, Sink& sink) {
    const Vec score = multiply_add(dot, Vec::load(tile.scale + at), Vec::load(tile.shift + at));
    const uint32_t admitted = score.at_least(Vec::all(limit));
    if (admitted)
        append(score, sink.mask ? allowed(admitted, tile.rows + at, sink.mask) : admitted, tile.rows + at,
               sink.survivors);
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
                for (int v = 0; v < kVecs; ++v) sum[m][v] = multiply_add(q, column[v], sum[m][v]);
            }
        }
        for (int v = 0; v < kVecs; ++v)
            for (int m = 0; m < M; ++m) admit(sum[m][v], tile, first + v * L, limits[m], sinks[m]);
    }
}

template <int M>
void scan_any(const Tile& tile, int64_t dim, const float* queries, int group, const float* limits, Sink* sinks) {
    if (group == M) return scan_group<M>(tile, dim, queries, limits, sinks);
    if constexpr (M > 1) scan_any<M - 1>(tile, dim, queries, group, limits, sinks);
}

// Sums over dimensions of items: one lane for each item and, while they are being joined, for a part of its dimensions.
template <int M>
struct Sums {
    Vec dots[M], squares;
};

template <int M>
inline Sums<M> sums_of_one(const float* x, int64_t dim, const float* queries) {
    constexpr int L = Vec::kLanes;
    Sums<M> sums;
    for (int m = 0; m < M; ++m) sums.dots[m] = Vec::zero();
    sums.squares = Vec::zero();
    for (int64_t j = 0; j < dim; j += L) {
        const int left = dim - j < L ? static_cast<int>(dim - j) : L;
        const Vec part = left == L ? Vec::load(x + j) : Vec::load_first(x + j, left);
        for (int m = 0; m < M; ++m) {
            const float* q = queries + m * dim + j;
            sums.dots[m] = multiply_add(part, left == L ? Vec::load(q) : Vec::load_first(q, left), sums.dots[m]);
        }
        sums.squares = multiply_add(part, part, sums.squares);
    }
    return sums;
}

// Of Width items. Joining as soon as two halves are there keeps few sums in registers.
template <int M, int Width>
inline Sums<M> sums_of(const float* const* rows, int64_t dim, const float* queries) {
    if constexpr (Width == 1) {
        return sums_of_one<M>(rows[0], dim, queries);
    } else {
        Sums<M> low = sums_of<M, Width / 2>(rows, dim, queries);
        const Sums<M> high = sums_of<M, Width / 2>(rows + Width / 2, dim, queries);
        for (int m = 0; m < M; ++m) low.dots[m] = join<Width>(low.dots[m], high.dots[m]);
        low.squares = join<Width>(low.squares, high.squares);
        return low;
    }
}

template <int M>
void read_rows(const float* items, int64_t dim, const float* queries, Tile& tile) {
    constexpr int L = Vec::kLanes;
    const float* rows[L];
    Lengths lengths;
    // The hardware foresees rows that follow one another, and only those.
    const bool scattered = tile.rows[tile.size - 1] - tile.rows[0] >= tile.size;
    for (int first = 0; first < tile.size; first += L) {
        if (scattered) fetch(items, dim, tile, first + 2 * L);
        rows_of(items, dim, tile, first, rows);
        const Sums<M> sums = sums_of<M, L>(rows, dim, queries);
        for (int m = 0; m < M; ++m) sums.dots[m].store(tile.panels + m * kTile + first);
        sums.squares.store(tile.squares + first);
        lengths.see(sums.squares);
    }
    lengths.write(tile);
}

void read(const float* items, int64_t dim, const float* queries, int group, Tile& tile) {
    if (group == 1) return read_rows<1>(items, dim, queries, tile);
    if (group == 2) return read_rows<2>(items, dim, queries, tile);
    return read_rows<3>(items, dim, queries, tile);
}

void admit_read(const Tile& tile, int group, const float* limits, Sink* sinks) {
    for (int m = 0; m < group; ++m)
        for (int at = 0; at < tile.size; at += Vec::kLanes)
            admit(Vec::load(tile.panels + m * kTile + at), tile, at, limits[m], sinks[m]);
}

constexpr TopkKernels kKernels{kGroup,         pack,  scan_any<kGroup>, read, admit_read,
                               count_at_least, range, keep_at_least,    dot,  rescore};

}  // namespace
}  // namespace hr
