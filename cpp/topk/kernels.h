// What each instruction set provides to the top-k scan.
#pragma once

#include <cstdint>

namespace hr {

// Items lie in panels of kPanel: dimension by dimension, the kPanel items' values side by side.
constexpr int kPanel = 32;
constexpr int kTile = 256;  // items in a tile, at most
constexpr int kMaxGroup = 12;
constexpr int kMaxRead = 3;
constexpr int kSlack = 16;                 // entries past the end of survivors that a whole vector may overwrite
constexpr float kUsualSquares = 0x1p120f;  // longer items could overflow the scan

// A tile of items, transposed for the scan. Item i's scan score is dot * scale[i] + shift[i].
struct Tile {
    float* panels;
    int32_t rows[kTile];   // past the end of a panel that is not full: the last row again
    float squares[kTile];  // |x|^2
    float scale[kTile];
    float shift[kTile];  // NaN where the last panel is padding, so that no comparison admits it
    float longest;       // the greatest of squares
    bool usual;          // all squares are numbers up to kUsualSquares
    int size;
    double norm;  // no item of the tile is longer
};

// The items that may still belong to a query's top k: scan scores, each within the query's bound of its float64 score,
// and rows.
struct Survivors {
    float* scores;
    int32_t* rows;
    int64_t count;

    __attribute__((always_inline)) void add(float score, int32_t row) {
        scores[count] = score;
        rows[count++] = row;
    }
};

// Where the scan puts a query's survivors; the caller leaves room for a whole tile.
struct Sink {
    Survivors survivors;
    const uint64_t* mask;  // this query's own mask, or null
};

struct Ranked {
    double score;
    int32_t row;
};

// What `rescore` sums over the dimensions of a query and an item.
enum class Term { kProduct, kSquaredDifference };

struct TopkKernels {
    int max_group;  // queries that one scan call takes, 1 to kMaxGroup
    // Transposes the tile's rows into its panels and sums their squares.
    void (*pack)(const float* items, int64_t dim, Tile& tile);
    // Scores the tile for `group` queries, laid out [dim][group], and appends what reaches each query's limit.
    void (*scan)(const Tile& tile, int64_t dim, const float* queries, int group, const float* limits, Sink* sinks);
    // For so few queries that transposing costs more than it saves: scores of the rows as they lie, for 1 to kMaxRead
    // queries [group][dim], and the sums of squares. The dot products go to tile.panels, kTile for each query.
    void (*read)(const float* items, int64_t dim, const float* queries, int group, Tile& tile);
    // As scan, from the dot products of `read`.
    void (*admit_read)(const Tile& tile, int group, const float* limits, Sink* sinks);
    // How many of the n values are at least t.
    int64_t (*count_at_least)(const float* values, int64_t n, float t);
    // The least and the greatest of n values, n at least 1.
    void (*range)(const float* values, int64_t n, float& least, float& most);
    // Drops the survivors below the limit, in order.
    void (*keep_at_least)(Survivors& survivors, float limit);
    // Float64 sums over dimensions in 8 lanes (lane j takes j, j + 8, ...), folded 8 -> 4 -> 2 -> 1.
    double (*dot)(const float* a, const float* b, int64_t dim);
    // The same sums of a query, widened to float64, with each of n rows.
    void (*rescore)(Term term, const double* query, const float* items, int64_t dim, const int32_t* rows, int64_t n,
                    Ranked* out);
};

extern const TopkKernels topk_kernels_scalar, topk_kernels_avx2, topk_kernels_avx512;

}  // namespace hr
