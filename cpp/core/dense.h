// Small dense layers, written once for Vec. Only files whose suffix names an instruction set may include this.
//
// A block of candidates goes through all layers together. Feature f of the block is a column of kBlock numbers at
// x + f * kBlock, so every candidate has a lane of its own. Each sum runs over its inputs in order with fused
// multiply-adds, so that all instruction sets, and all neighbours in a block, give the same bits.
#pragma once

#include <cstring>

#include "core/transpose.h"

namespace hr {
namespace {

constexpr int kBlockVecs = 2;
constexpr int kBlock = kBlockVecs * Vec::kLanes;
// Outputs that are summed together: their sums fill half of the registers.
constexpr int kTile = Vec::kLanes == 16 ? 8 : 4;

#if HEADRACE_SIMD_AVX512

inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
// x times 2^n, where n is the integer in the low bits of `power`.
inline Vec scale(Vec x, Vec power) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(power.v), 23);
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x.v), exponent))};
}

#elif HEADRACE_SIMD_AVX2

inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec scale(Vec x, Vec power) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(power.v), 23);
    return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x.v), exponent))};
}

#else

inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
inline Vec scale(Vec x, Vec power) {
    uint32_t bits, exponent;
    std::memcpy(&bits, &x.v, sizeof bits);
    std::memcpy(&exponent, &power.v, sizeof exponent);
    bits += exponent << 23;
    std::memcpy(&x.v, &bits, sizeof bits);
    return x;
}

#endif

// exp(x) for x <= 0, within 2 units in the last place; below -86, where it no longer adds to 1, about 4e-38.
inline Vec exp_of(Vec x) {
    const Vec magic = Vec::all(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer in the low bits
    x = max(x, Vec::all(-86.0f));
    const Vec shifted = fused(x, Vec::all(1.44269504f), magic);
    const Vec n = shifted - magic;
    Vec r = fused(n, Vec::all(-0x1.62e4p-1f), x);  // ln 2, high part
    r = fused(n, Vec::all(-0x1.7f7d1cp-20f), r);   // ln 2, low part
    Vec sum = Vec::all(1.0f / 5040);
    sum = fused(sum, r, Vec::all(1.0f / 720));
    sum = fused(sum, r, Vec::all(1.0f / 120));
    sum = fused(sum, r, Vec::all(1.0f / 24));
    sum = fused(sum, r, Vec::all(1.0f / 6));
    sum = fused(sum, r, Vec::all(0.5f));
    sum = fused(sum, r, Vec::all(1.0f));
    sum = fused(sum, r, Vec::all(1.0f));
    return scale(sum, shifted);
}

template <int O, bool kRelu>
inline void affine_tile(const float* x, int64_t inputs, const float* weight, int64_t stride, const float* bias,
                        float* out) {
    Vec sum[O][kBlockVecs];
    for (int o = 0; o < O; ++o)
        for (int v = 0; v < kBlockVecs; ++v)
            sum[o][v] = bias ? Vec::all(bias[o]) : Vec::load(out + o * kBlock + v * Vec::kLanes);
    for (int64_t i = 0; i < inputs; ++i) {
        Vec a[kBlockVecs];
        for (int v = 0; v < kBlockVecs; ++v) a[v] = Vec::load(x + i * kBlock + v * Vec::kLanes);
        for (int o = 0; o < O; ++o) {
            const Vec w = Vec::all(weight[i * stride + o]);
            for (int v = 0; v < kBlockVecs; ++v) sum[o][v] = fused(a[v], w, sum[o][v]);
        }
    }
    for (int o = 0; o < O; ++o)
        for (int v = 0; v < kBlockVecs; ++v) {
            const Vec y = kRelu ? max(sum[o][v], Vec::zero()) : sum[o][v];
            y.store(out + o * kBlock + v * Vec::kLanes);
        }
}

struct Nothing {
    void operator()() const {}
};

// out[o] = start + sum_i x[i] * weight[i * stride + o] for o < outputs, then max(0, .) with kRelu; the start is
// bias[o], or what `out` holds where bias is null. Tiles of O outputs, then of O / 2, ... 1; `between` runs after each.
template <bool kRelu, int O = kTile, class Between = Nothing>
inline void affine(const float* x, int64_t inputs, const float* weight, int64_t stride, int64_t outputs,
                   const float* bias, float* out, Between&& between = {}) {
    int64_t o = 0;
    for (; o + O <= outputs; o += O) {
        affine_tile<O, kRelu>(x, inputs, weight + o, stride, bias ? bias + o : nullptr, out + o * kBlock);
        between();
    }
    if constexpr (O > 1)
        if (o < outputs)
            affine<kRelu, O / 2>(x, inputs, weight + o, stride, outputs - o, bias ? bias + o : nullptr,
                                 out + o * kBlock, between);
}

template <int P>
inline int64_t affine_row_tiles(const float* x, int64_t inputs, const float* weight, int64_t stride, int64_t first,
                                int64_t outputs, const float* start, float* out) {
    int64_t o = first;
    for (; o + P * Vec::kLanes <= outputs; o += P * Vec::kLanes) {
        Vec sum[P];
        for (int p = 0; p < P; ++p) sum[p] = start ? Vec::load(start + o + p * Vec::kLanes) : Vec::zero();
        for (int64_t i = 0; i < inputs; ++i)
            for (int p = 0; p < P; ++p)
                sum[p] = fused(Vec::all(x[i]), Vec::load(weight + i * stride + o + p * Vec::kLanes), sum[p]);
        for (int p = 0; p < P; ++p) sum[p].store(out + o + p * Vec::kLanes);
    }
    return o;
}

// The same for a single row: out[o] = start[o] (0 where null) + sum_i x[i] * weight[i * stride + o].
inline void affine_row(const float* x, int64_t inputs, const float* weight, int64_t stride, int64_t outputs,
                       const float* start, float* out) {
    int64_t o = affine_row_tiles<8>(x, inputs, weight, stride, 0, outputs, start, out);
    o = affine_row_tiles<1>(x, inputs, weight, stride, o, outputs, start, out);
    for (; o < outputs; ++o) {
        float sum = start ? start[o] : 0.0f;
        for (int64_t i = 0; i < inputs; ++i) sum = __builtin_fmaf(x[i], weight[i * stride + o], sum);
        out[o] = sum;
    }
}

// Asks for the rows of the next block, a few lines at a time between the tiles of this one: they lie anywhere, so the
// hardware would wait for each, and it has room for a few requests only.
class Ahead {
  public:
    // Row item[c] of `rows` is for candidate c < count; `tiles` of a block ask.
    Ahead(const float* rows, int64_t width, const int64_t* item, int64_t count, int64_t tiles)
        : rows_(rows), width_(width), item_(item), count_(count), lines_(kBlock * (width / kLine) / (tiles + 1) + 1) {}

    // The block before candidate `next` begins.
    void begin(int64_t next) {
        next_ = next;
        last_ = next + kBlock < count_ ? next + kBlock : count_;
        column_ = 0;
    }

    void operator()() {
        for (int64_t i = 0; i < lines_ && next_ < last_; ++i) {
            __builtin_prefetch(rows_ + item_[next_] * width_ + column_, 0, 2);
            column_ += kLine;
            if (column_ < width_) continue;
            column_ = 0;
            ++next_;
        }
    }

  private:
    static constexpr int64_t kLine = 16;
    const float* rows_;
    int64_t width_;
    const int64_t* item_;
    int64_t count_, lines_, next_ = 0, last_ = 0, column_ = 0;
};

// The softmax of `count` columns, in place; at least one.
inline void softmax(float* x, int64_t count) {
    for (float* lane = x; lane < x + kBlock; lane += Vec::kLanes) {
        Vec peak = Vec::load(lane), sum = Vec::zero();
        for (int64_t i = 1; i < count; ++i) peak = max(peak, Vec::load(lane + i * kBlock));
        for (int64_t i = 0; i < count; ++i) {
            const Vec term = exp_of(Vec::load(lane + i * kBlock) - peak);
            term.store(lane + i * kBlock);
            sum = sum + term;
        }
        const Vec share = Vec::all(1.0f) / sum;
        for (int64_t i = 0; i < count; ++i) (Vec::load(lane + i * kBlock) * share).store(lane + i * kBlock);
    }
}

template <bool kWhole>
inline void gather_square(const float* const* rows, int64_t lists, const float* base, int64_t column, int columns,
                          float* out) {
    constexpr int L = Vec::kLanes;
    auto load = [&](const float* p) { return kWhole ? Vec::load(p) : Vec::load_first(p, columns); };
    const Vec start = base ? load(base + column) : Vec::zero();
    Vec square[L];
    for (int i = 0; i < L; ++i) square[i] = start + load(rows[i] + column);
    for (int64_t l = 1; l < lists; ++l)
        for (int i = 0; i < L; ++i) square[i] = square[i] + load(rows[l * kBlock + i] + column);
    transpose(square);
    for (int c = 0; c < L; ++c) {
        if (!kWhole && c >= columns) break;
        square[c].store(out + c * kBlock);
    }
}

// Columns first .. first + count of the rows of a block: for each candidate the sum of `base` (null: 0) and of its row
// in each list, rows[list * kBlock + candidate].
inline void gather(const float* const* rows, int64_t lists, const float* base, int64_t first, int64_t count,
                   float* out) {
    constexpr int L = Vec::kLanes;
    for (int v = 0; v < kBlockVecs; ++v) {
        int64_t j = 0;
        for (; j + L <= count; j += L)
            gather_square<true>(rows + v * L, lists, base, first + j, L, out + j * kBlock + v * L);
        if (j < count)
            gather_square<false>(rows + v * L, lists, base, first + j, static_cast<int>(count - j),
                                 out + j * kBlock + v * L);
    }
}

}  // namespace
}  // namespace hr
