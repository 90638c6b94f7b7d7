// The catalogue in low precision, packed for the scan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "topk/packed_kernels.h"
#include "topk/topk.h"

namespace hr {

// What of a set of items bounds the error of their scan scores.
struct Extent {
    double norm = 0.0;      // no item of the set is longer, as it is or as it is packed
    double residual = 0.0;  // no packed item is further from its item

    void include(const Extent& other) {
        norm = norm < other.norm ? other.norm : norm;
        residual = residual < other.residual ? other.residual : residual;
    }
};

// Where things lie: a head for each tile of kTile items, then its panels of kPanel items. A panel holds the items'
// scales (int8), what is added to their scores (l2), and `steps` rows of one word for each item.
struct PackedLayout {
    int64_t n_items, dim;
    hr_scan scan;
    hr_metric metric;

    static constexpr int64_t kHead = 64;
    static constexpr int kPanels = kTile / kPanel;

    int per_word() const { return scan == HR_SCAN_INT8 ? 4 : 2; }
    int64_t steps() const { return (dim + per_word() - 1) / per_word(); }
    int heads() const { return (scan == HR_SCAN_INT8) + (metric == HR_METRIC_L2); }
    int64_t panel_bytes() const { return (heads() + steps()) * kPanel * 4; }
    int64_t tile_bytes() const { return kHead + kPanels * panel_bytes(); }
    int64_t n_tiles() const { return (n_items + kTile - 1) / kTile; }
    int64_t bytes() const { return n_tiles() * tile_bytes(); }
};

// A packed catalogue to search.
struct Packed {
    PackedLayout layout;
    const std::byte* data;
    const PackedKernels* kernels;

    const std::byte* tile(int64_t index) const { return data + index * layout.tile_bytes(); }
    Extent extent(int64_t index) const {
        const auto* head = reinterpret_cast<const float*>(tile(index));
        constexpr double kNone = std::numeric_limits<double>::infinity();
        if (!(head[0] >= 0 && head[1] >= 0)) return {kNone, kNone};  // a damaged file: nothing is known
        return {head[0], head[1]};
    }
};

// A query in low precision.
struct PackedVector {
    double residual;  // how far it is from the query, no less
    double length;    // of the rounded query, no less
    float scale;
    int32_t start;  // what a sum of products starts from, so that items may be kept as unsigned numbers
};

// Rounds `values` and writes `steps` words, `stride` apart.
PackedVector pack_vector(const PackedLayout& layout, const double* values, uint32_t* words, int64_t stride);

// Words that a query takes in the order that the kernels want.
int64_t query_words(const PackedLayout& layout, const PackedKernels& kernels);

// Packs query m of the `size` whose words start at `words`, in that order.
PackedVector pack_query(const PackedLayout& layout, const PackedKernels& kernels, const double* values, int64_t m,
                        int64_t size, uint32_t* words);

// Packs the items. rounded: packing gave them, so they are taken as they are. Returns the first row that is not finite,
// or -1.
int64_t pack_items(const PackedLayout& layout, const float* items, bool rounded, int threads, std::byte* out);

// The vectors [n, dim] that the numbers of some rows stand for.
void unpack_rows(const PackedLayout& layout, const std::byte* data, const int32_t* rows, int64_t n, float* vectors);

}  // namespace hr
