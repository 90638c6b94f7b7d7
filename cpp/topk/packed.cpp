#include "topk/packed.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/pool.h"

namespace {

constexpr double kRaise = 1 + 0x1p-20;  // covers the float64 rounding of measured lengths
constexpr int kMost = 127;

float round_up(double value) {
    return std::nextafterf(static_cast<float>(value * kRaise), std::numeric_limits<float>::infinity());
}

// To the nearest integer of a value below 2^31, ties to even, without a call.
int32_t nearest(double value) {
    constexpr double kMagic = 0x1.8p52;
    const double sum = value + kMagic;
    int64_t bits;
    std::memcpy(&bits, &sum, sizeof bits);
    return static_cast<int32_t>(bits);
}

uint32_t to_bfloat16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const uint32_t half = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    constexpr uint32_t kInfinite = 0x7f80;
    return (half & kInfinite) == kInfinite ? half - 1 : half;  // not past the greatest number
}

float from_bfloat16(uint32_t half) {
    const uint32_t bits = half << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Distance from the values and length of what they were rounded to.
struct Rounded {
    double squared_residual = 0.0, squared_length = 0.0;
    double residual() const { return std::sqrt(squared_residual) * kRaise; }
    double length() const { return std::sqrt(squared_length) * kRaise; }
    void see(double value, double rounded) {
        squared_residual += (value - rounded) * (value - rounded);
        squared_length += rounded * rounded;
    }
};

// 17 bits, so that its product with a number has no more than the 24 of float32.
float int8_scale(const double* values, int64_t dim) {
    constexpr float kLeast = 0x1p-107f;  // below it, products could leave float32's range
    double greatest = 0.0;
    for (int64_t j = 0; j < dim; ++j) greatest = std::max(greatest, std::fabs(values[j]));
    const auto share = static_cast<float>(greatest / kMost);
    uint32_t bits;
    std::memcpy(&bits, &share, sizeof bits);
    bits &= ~0x7fu;
    float scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return scale < kLeast ? 0.0f : scale;
}

// `bias` is added to each number: items are kept unsigned. Returns the sum of the numbers.
int32_t pack_int8(const double* values, int64_t dim, float scale, int bias, uint32_t* words, int64_t stride,
                  Rounded& rounded) {
    const double inverse = scale > 0 ? 1.0 / scale : 0.0;
    int32_t sum = 0;
    for (int64_t j = 0; j < dim; j += 4) {
        uint32_t word = 0;
        for (int i = 0; i < 4; ++i) {
            const double value = j + i < dim ? values[j + i] : 0.0;
            const int32_t number = std::clamp(nearest(value * inverse), -kMost, kMost);
            rounded.see(value, static_cast<double>(scale) * number);
            word |= static_cast<uint32_t>((number + bias) & 0xff) << (8 * i);
            sum += number;
        }
        words[j / 4 * stride] = word;
    }
    return sum;
}

void pack_bfloat16(const double* values, int64_t dim, uint32_t* words, int64_t stride, Rounded& rounded) {
    for (int64_t j = 0; j < dim; j += 2) {
        uint32_t word = 0;
        for (int i = 0; i < 2 && j + i < dim; ++i) {
            const uint32_t half = to_bfloat16(static_cast<float>(values[j + i]));
            rounded.see(values[j + i], from_bfloat16(half));
            word |= half << (16 * i);
        }
        words[j / 2 * stride] = word;
    }
}

// A word of a query becomes two, as QueryOrder::kHalves says.
void split(hr_scan scan, uint32_t* word) {
    const uint32_t whole = *word;
    const auto wide = [&](int byte) { return static_cast<uint32_t>(static_cast<int8_t>(whole >> (8 * byte))); };
    if (scan == HR_SCAN_INT8) {
        word[0] = (wide(0) & 0xffff) | wide(2) << 16;
        word[1] = (wide(1) & 0xffff) | wide(3) << 16;
    } else {
        word[0] = whole << 16;
        word[1] = whole & 0xffff0000u;
    }
}

void unpack_int8(uint32_t word, float scale, int64_t count, float* values) {
    float all[4];
    for (int i = 0; i < 4; ++i)
        all[i] = scale * static_cast<float>(static_cast<int32_t>(word >> (8 * i) & 0xff) - (kMost + 1));
    std::memcpy(values, all, static_cast<size_t>(count) * sizeof(float));
}

void unpack_bfloat16(uint32_t word, int64_t count, float* values) {
    const float all[2] = {from_bfloat16(word & 0xffff), from_bfloat16(word >> 16)};
    std::memcpy(values, all, static_cast<size_t>(count) * sizeof(float));
}

class TilePacker {
  public:
    TilePacker(const hr::PackedLayout& layout, const float* items, bool rounded)
        : layout_(layout), items_(items), rounded_(rounded), values_(static_cast<size_t>(layout.dim)) {}

    // Returns the first row that is not finite, or -1.
    int64_t pack(int64_t index, std::byte* tile) {
        std::memset(tile, 0, static_cast<size_t>(layout_.tile_bytes()));
        hr::Extent extent;
        const int64_t last = std::min(layout_.n_items, (index + 1) * hr::kTile);
        for (int64_t row = index * hr::kTile; row < last; ++row)
            if (!pack_item(row, tile, extent)) return row;
        const float head[2] = {round_up(extent.norm), round_up(extent.residual)};
        std::memcpy(tile, head, sizeof head);
        return -1;
    }

  private:
    bool pack_item(int64_t row, std::byte* tile, hr::Extent& extent) {
        const float* x = items_ + row * layout_.dim;
        double squares = 0.0;
        for (int64_t j = 0; j < layout_.dim; ++j) squares += static_cast<double>(x[j]) * x[j];
        if (!std::isfinite(squares)) return false;
        const bool unit = layout_.metric == HR_METRIC_COSINE && squares > 0;
        const double divisor = unit && !rounded_ ? std::sqrt(squares) : 1.0;
        for (int64_t j = 0; j < layout_.dim; ++j) values_[static_cast<size_t>(j)] = x[j] / divisor;

        const int64_t at = row % hr::kTile;
        auto* panel =
            reinterpret_cast<uint32_t*>(tile + hr::PackedLayout::kHead + at / hr::kPanel * layout_.panel_bytes());
        auto* head = reinterpret_cast<float*>(panel) + at % hr::kPanel;
        uint32_t* words = panel + layout_.heads() * hr::kPanel + at % hr::kPanel;
        Rounded rounded;
        if (layout_.scan == HR_SCAN_INT8) {
            *head = int8_scale(values_.data(), layout_.dim);
            pack_int8(values_.data(), layout_.dim, *head, kMost + 1, words, hr::kPanel, rounded);
            head += hr::kPanel;
        } else {
            pack_bfloat16(values_.data(), layout_.dim, words, hr::kPanel, rounded);
        }
        if (layout_.metric == HR_METRIC_L2) *head = static_cast<float>(-squares / 2);
        double length = std::sqrt(squares) * kRaise, residual = rounded.residual();
        if (unit) {
            // The vector of length 1 points where a rounded one does.
            if (rounded_) residual = std::fabs(std::sqrt(squares) - 1.0);
            residual += 0x1p-40;
            length = 1.0;
        }
        extent.include({std::max(length, rounded.length()), residual});
        return true;
    }

    const hr::PackedLayout& layout_;
    const float* items_;
    bool rounded_;
    std::vector<double> values_;
};

}  // namespace

hr::PackedVector hr::pack_vector(const PackedLayout& layout, const double* values, uint32_t* words, int64_t stride) {
    Rounded rounded;
    PackedVector vector{0.0, 0.0, 1.0f, 0};
    if (layout.scan == HR_SCAN_INT8) {
        vector.scale = int8_scale(values, layout.dim);
        vector.start = -(kMost + 1) * pack_int8(values, layout.dim, vector.scale, 0, words, stride, rounded);
    } else {
        pack_bfloat16(values, layout.dim, words, stride, rounded);
    }
    vector.residual = rounded.residual();
    vector.length = rounded.length();
    return vector;
}

int64_t hr::query_words(const PackedLayout& layout, const PackedKernels& kernels) {
    const int64_t steps = layout.steps();
    if (kernels.order == QueryOrder::kTiles) return (steps + kTileSide - 1) / kTileSide * kTileSide;
    return kernels.order == QueryOrder::kHalves ? 2 * steps : steps;
}

hr::PackedVector hr::pack_query(const PackedLayout& layout, const PackedKernels& kernels, const double* values,
                                int64_t m, int64_t size, uint32_t* words) {
    if (kernels.order == QueryOrder::kSteps) return pack_vector(layout, values, words + m, size);
    const int64_t steps = layout.steps(), row = query_words(layout, kernels);
    if (kernels.order == QueryOrder::kHalves) {
        const PackedVector vector = pack_vector(layout, values, words + 2 * m, 2 * size);
        for (int64_t step = 0; step < steps; ++step) split(layout.scan, words + 2 * (step * size + m));
        return vector;
    }
    uint32_t* own = words + m * row;
    std::fill_n(own, row, 0);
    const PackedVector vector = pack_vector(layout, values, own, 1);
    if (steps > kTileSide) {
        const int64_t last = row - kTileSide;
        std::rotate(own + last, own + steps, own + row);
    }
    return vector;
}

void hr::unpack_rows(const PackedLayout& layout, const std::byte* data, const int32_t* rows, int64_t n,
                     float* vectors) {
    const int per_word = layout.per_word();
    const auto lane = [&](int32_t row) {
        const std::byte* panel = data + row / kTile * layout.tile_bytes() + PackedLayout::kHead +
                                 row % kTile / kPanel * layout.panel_bytes();
        return reinterpret_cast<const uint32_t*>(panel) + row % kPanel;
    };
    for (int64_t i = 0; i < n; ++i) {
        if (i + 2 < n)
            for (int64_t at = 0; at < layout.heads() + layout.steps(); ++at)
                __builtin_prefetch(lane(rows[i + 2]) + at * kPanel);
        const uint32_t* item = lane(rows[i]);
        const uint32_t* words = item + layout.heads() * kPanel;
        float scale;
        std::memcpy(&scale, item, sizeof scale);
        float* vector = vectors + i * layout.dim;
        for (int64_t j = 0; j < layout.dim; j += per_word, words += kPanel) {
            const int64_t count = std::min<int64_t>(per_word, layout.dim - j);
            if (layout.scan == HR_SCAN_INT8)
                unpack_int8(*words, scale, count, vector + j);
            else
                unpack_bfloat16(*words, count, vector + j);
        }
    }
}

int64_t hr::pack_items(const PackedLayout& layout, const float* items, bool rounded, int threads, std::byte* out) {
    constexpr int64_t kTiles = 64;
    std::atomic<int64_t> bad{layout.n_items};
    parallel_for((layout.n_tiles() + kTiles - 1) / kTiles, threads, [&](int64_t task, int) {
        TilePacker packer(layout, items, rounded);
        const int64_t start = task * kTiles, last = std::min(layout.n_tiles(), start + kTiles);
        for (int64_t tile = start; tile < last; ++tile) {
            const int64_t row = packer.pack(tile, out + tile * layout.tile_bytes());
            int64_t first = bad.load();
            while (row >= 0 && row < first && !bad.compare_exchange_weak(first, row)) {
            }
        }
    });
    return bad < layout.n_items ? bad.load() : -1;
}
