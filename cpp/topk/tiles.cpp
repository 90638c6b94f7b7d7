#include "topk/tiles.h"

#include <algorithm>

namespace {

bool all_finite(const float* x, int64_t dim) {
    return std::all_of(x, x + dim, [](float value) { return std::isfinite(value); });
}

bool all_zero(const float* x, int64_t dim) {
    return std::all_of(x, x + dim, [](float value) { return value == 0.0f; });
}

}  // namespace

hr::TileReader::TileReader(const Problem& problem, const uint64_t* masks, int64_t n_masks, int64_t first, int64_t last)
    : problem_(problem), masks_(masks), n_masks_(n_masks), word_(first), last_(last) {}

uint64_t hr::TileReader::allowed(int64_t word) const {
    uint64_t bits = n_masks_ ? 0 : ~uint64_t{0};
    for (int64_t i = 0; i < n_masks_; ++i) bits |= masks_[i * problem_.mask_stride + word];
    const int64_t items = problem_.n_items - word * 64;
    return items >= 64 ? bits : bits & ((uint64_t{1} << items) - 1);
}

bool hr::TileReader::next(Tile& tile, int limit) {
    tile.size = 0;
    while (tile.size < limit) {
        if (!bits_) {
            if (word_ == last_) break;
            bits_ = allowed(word_++);
            continue;
        }
        const int32_t base = static_cast<int32_t>((word_ - 1) * 64);
        if (bits_ == ~uint64_t{0} && limit - tile.size >= 64) {
            for (int32_t i = 0; i < 64; ++i) tile.rows[tile.size + i] = base + i;
            tile.size += 64;
            bits_ = 0;
            continue;
        }
        tile.rows[tile.size++] = base + __builtin_ctzll(bits_);
        bits_ &= bits_ - 1;
    }
    for (int i = tile.size; i % kPanel; ++i) tile.rows[i] = tile.rows[tile.size - 1];
    return tile.size > 0;
}

int64_t hr::prepare(const Problem& problem, const float* unpacked, Tile& tile) {
    const auto item = [&](int i) {
        return problem.items ? problem.items + tile.rows[i] * problem.dim : unpacked + i * problem.dim;
    };
    constexpr float kLeast = 0x1p-80f;
    const int padded = (tile.size + kPanel - 1) / kPanel * kPanel;
    const float share = problem.metric == HR_METRIC_L2 ? -0.5f : 0.0f;
    std::fill_n(tile.scale, padded, 1.0f);
    for (int i = 0; i < tile.size; ++i) tile.shift[i] = share * tile.squares[i];
    std::fill(tile.shift + tile.size, tile.shift + padded, std::numeric_limits<float>::quiet_NaN());
    if (!tile.usual) {
        for (int i = 0; i < tile.size; ++i)
            if (!all_finite(item(i), problem.dim)) return tile.rows[i];
        tile.norm = kInfinity;
        return -1;
    }
    // 2% covers the float32 rounding of the sum; squares below float32's range add at most dim * 2^-126.
    tile.norm = std::sqrt(1.02 * tile.longest + static_cast<double>(problem.dim) * 0x1p-124);
    if (problem.metric != HR_METRIC_COSINE) return -1;
    tile.norm = 1.0;
    for (int i = 0; i < tile.size; ++i) {
        const float squares = tile.squares[i];
        if (squares >= kLeast)
            tile.scale[i] = static_cast<float>(1.0 / std::sqrt(static_cast<double>(squares)));
        else if (!all_zero(item(i), problem.dim))
            tile.norm = kInfinity;  // too short for float32 to measure
    }
    return -1;
}
