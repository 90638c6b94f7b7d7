// Products of pairs of bfloat16, for units that multiply and add two at a time. Only files for processors with
// AVX512-BF16 may include this.
//
// Two columns of a block become one of words, the earlier in their low halves: the right factor of a tile product as it
// lies in memory, whose sums are columns again. Weights are in tiles, as pack.h has them.
#pragma once

#include "network/pack.h"
#include "network/rounded.h"

namespace hr {
namespace {

constexpr int kTileWords = kTileInputs / 2, kTileSize = kTileOutputs * kTileWords;

inline int64_t tiles_of(int64_t inputs) { return (inputs + kTileInputs - 1) / kTileInputs; }

inline void pair_up(Vec first, Vec second, float* out) {
    alignas(64) static constexpr uint16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512bh both = _mm512_cvtne2ps_pbh(second.v, first.v);
    __m512i words;
    std::memcpy(&words, &both, sizeof words);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), words));
}

// Columns of words of `inputs` columns; the last of them is filled up with zeros.
inline void pair_columns(const float* x, int64_t inputs, float* out) {
    constexpr int L = Vec::kLanes;
    for (; inputs > 1; inputs -= 2, x += 2 * kBlock, out += kBlock)
        for (int v = 0; v < kBlock; v += L) pair_up(Vec::load(x + v), Vec::load(x + kBlock + v), out + v);
    if (inputs)
        for (int v = 0; v < kBlock; v += L) pair_up(Vec::load(x + v), Vec::zero(), out + v);
}

// Layers that have tiles by Unit, all else rounded. Then a term's x are columns of words and its weights tiles.
template <class Unit>
class Paired {
  public:
    Paired(const NetworkPlan& plan, float* room)
        : rounded_(plan, room), weights_(plan.program->packed), room_(room), columns_(plan.rounded) {}

    void begin(const AffineStep& first) {
        tiled_ = first.tiles >= 0;
        used_ = 0;
        rounded_.begin(first);
    }

    bool joins(const AffineStep& s) const {
        if (tiled_ != (s.tiles >= 0)) return false;
        return tiled_ ? used_ + tiles_of(s.inputs) * kTileWords <= columns_ : rounded_.joins(s);
    }

    Term term(const AffineStep& s, const float* x) {
        if (!tiled_) return rounded_.term(s, x);
        float* out = room_ + used_ * kBlock;
        const int64_t pairs = (s.inputs + 1) / 2, whole = tiles_of(s.inputs) * kTileWords;
        pair_columns(x, s.inputs, out);
        if (Unit::kWholeTiles)
            std::memset(out + pairs * kBlock, 0, static_cast<size_t>((whole - pairs) * kBlock) * sizeof(float));
        used_ += whole;
        return {out, weights_ + s.tiles, s.inputs, 0};
    }

    template <class L, class Between>
    void add_up(const Sum& s, int64_t width, float* out, Between& between) {
        tiled_ ? Unit::add_up(s, width, out, between) : rounded_.template add_up<L>(s, width, out, between);
    }

  private:
    Rounded rounded_;
    const float* weights_;
    float* room_;
    int64_t columns_, used_ = 0;
    bool tiled_ = false;
};

}  // namespace
}  // namespace hr
