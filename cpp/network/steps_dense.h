// Products with matrices: affine layers, mixtures, weights of a request's own.
#pragma once

#include "network/lanes.h"

namespace hr {
namespace {

// x W of a sum of such products; W has `inputs` rows, `stride` apart.
struct Term {
    const float *x, *weight;
    int64_t inputs, stride;
};

// Consecutive affine steps that go on with the same sums, so that these stay in registers from the first to the last.
struct Sum {
    static constexpr int kMost = 8;
    Term terms[kMost];
    int count;
    const float* bias;  // null: from zero, or from what the columns hold
    bool held, relu;
};

template <int O>
inline void start_tile(const Sum& s, int64_t o, const float* out, Vec (&sum)[O][kBlockVecs]) {
    constexpr int L = Vec::kLanes;
    if (s.bias) {
        for (int i = 0; i < O; ++i)
            for (int v = 0; v < kBlockVecs; ++v) sum[i][v] = Vec::all(s.bias[o + i]);
    } else if (s.held) {
        for (int i = 0; i < O; ++i)
            for (int v = 0; v < kBlockVecs; ++v) sum[i][v] = Vec::load(out + i * kBlock + v * L);
    } else {
        for (int i = 0; i < O; ++i)
            for (int v = 0; v < kBlockVecs; ++v) sum[i][v] = Vec::zero();
    }
}

template <int O>
inline void end_tile(const Sum& s, Vec (&sum)[O][kBlockVecs], float* out) {
    constexpr int L = Vec::kLanes;
    if (s.relu)
        for (int i = 0; i < O; ++i)
            for (int v = 0; v < kBlockVecs; ++v) sum[i][v] = max(sum[i][v], Vec::zero());
    for (int i = 0; i < O; ++i)
        for (int v = 0; v < kBlockVecs; ++v) sum[i][v].store(out + i * kBlock + v * L);
}

template <int O>
inline void sum_tile(const Sum& s, int64_t o, float* out) {
    constexpr int L = Vec::kLanes;
    Vec sum[O][kBlockVecs];
    start_tile<O>(s, o, out, sum);
    for (const Term *term = s.terms, *end = term + s.count; term < end; ++term) {
        const float *x = term->x, *weight = term->weight + o;
        const int64_t stride = term->stride;
        for (int64_t k = term->inputs; k > 0; --k, x += kBlock, weight += stride) {
            Vec a[kBlockVecs];
            for (int v = 0; v < kBlockVecs; ++v) a[v] = Vec::load(x + v * L);
            for (int i = 0; i < O; ++i) {
                const Vec w = Vec::all(weight[i]);
                for (int v = 0; v < kBlockVecs; ++v) sum[i][v] = fused(a[v], w, sum[i][v]);
            }
        }
    }
    end_tile<O>(s, sum, out);
}

struct Nothing {
    void operator()() const {}
};

// Tiles of O outputs, then of O / 2, ... 1; `between` runs after each, as often as it has terms.
template <int O, class Between>
inline void sum_tiles(const Sum& s, int64_t o, int64_t width, float* out, Between& between) {
    for (; o + O <= width; o += O) {
        sum_tile<O>(s, o, out + o * kBlock);
        for (int t = 0; t < s.count; ++t) between();
    }
    if constexpr (O > 1)
        if (o < width) sum_tiles<O / 2>(s, o, width, out, between);
}

// P vectors of outputs of a single row.
template <int P, class Part>
inline void row_tile(const Sum& s, int64_t o, float* out, Part part) {
    constexpr int L = Vec::kLanes;
    Vec sum[P];
    for (int p = 0; p < P; ++p)
        sum[p] = s.bias ? part.load(s.bias + o + p * L) : s.held ? part.load(out + o + p * L) : Vec::zero();
    for (int t = 0; t < s.count; ++t) {
        const Term& term = s.terms[t];
        for (int64_t k = 0; k < term.inputs; ++k) {
            const Vec a = Vec::all(term.x[k]);
            for (int p = 0; p < P; ++p) sum[p] = fused(a, part.load(term.weight + k * term.stride + o + p * L), sum[p]);
        }
    }
    for (int p = 0; p < P; ++p) part.store(s.relu ? max(sum[p], Vec::zero()) : sum[p], out + o + p * L);
}

template <int P>
inline void row_tiles(const Sum& s, int64_t o, int64_t width, float* out) {
    for (; o + P * Vec::kLanes <= width; o += P * Vec::kLanes) row_tile<P>(s, o, out, Whole{});
    if constexpr (P > 1)
        row_tiles<P / 2>(s, o, width, out);
    else if (o < width)
        row_tile<1>(s, o, out, First{static_cast<int>(width - o)});
}

template <class L, class Between = Nothing>
inline void sum_up(const Sum& s, int64_t width, float* out, Between&& between = {}) {
    if constexpr (L::kSingle)
        row_tiles<8>(s, 0, width, out);
    else
        sum_tiles<kTile>(s, 0, width, out, between);
}

// How a machine multiplies by the weights: in float32, as they are. `begin` and `joins` see the layers of a sum, the
// first and each that would go on with it; `term` gets the columns of its inputs.
class Plain {
  public:
    Plain(const NetworkPlan& plan, float*) : weights_(plan.program->weights) {}
    void begin(const AffineStep&) {}
    bool joins(const AffineStep&) const { return true; }
    Term term(const AffineStep& s, const float* x) { return {x, weights_ + s.weight, s.inputs, s.stride}; }
    template <class L, class Between>
    void add_up(const Sum& s, int64_t width, float* out, Between& between) {
        sum_up<L>(s, width, out, between);
    }

  private:
    const float* weights_;
};

// out = x W from zero on.
template <class L>
inline void product(const Term& term, int64_t width, float* out) {
    sum_up<L>({{term}, 1, nullptr, false, false}, width, out);
}

template <int N>
inline void mix_tile(const float* gates, const float* vectors, int64_t count, int64_t stride, float* out) {
    constexpr int L = Vec::kLanes;
    Vec sum[N][kBlockVecs];
    for (int h = 0; h < N; ++h)
        for (int v = 0; v < kBlockVecs; ++v) sum[h][v] = Vec::zero();
    for (int64_t e = 0; e < count; ++e) {
        const float* vector = vectors + e * stride * kBlock;
        Vec gate[kBlockVecs];
        for (int v = 0; v < kBlockVecs; ++v) gate[v] = Vec::load(gates + e * kBlock + v * L);
        for (int h = 0; h < N; ++h)
            for (int v = 0; v < kBlockVecs; ++v)
                sum[h][v] = fused(gate[v], Vec::load(vector + h * kBlock + v * L), sum[h][v]);
    }
    for (int h = 0; h < N; ++h)
        for (int v = 0; v < kBlockVecs; ++v) sum[h][v].store(out + h * kBlock + v * L);
}

// out[h] = sum over e < count of gates[e] vectors[e * stride + h], for h < width.
template <class L>
inline void mix(const float* gates, const float* vectors, int64_t count, int64_t stride, int64_t width, float* out) {
    if constexpr (L::kSingle) {
        product<L>({gates, vectors, count, stride}, width, out);
    } else {
        int64_t h = 0;
        for (; h + kTile <= width; h += kTile)
            mix_tile<kTile>(gates, vectors + h * kBlock, count, stride, out + h * kBlock);
        for (; h < width; ++h) mix_tile<1>(gates, vectors + h * kBlock, count, stride, out + h * kBlock);
    }
}

// Only in the request stage.
inline void fold(const FoldStep& s, const float* weights, float* columns) {
    for (int64_t k = 0; k < s.inputs; ++k) {
        const float *weight = weights + s.weight + k * s.stride, *times = weights + s.times + k * s.stride;
        const Vec x = Vec::all(columns[s.x + k]);
        float* out = columns + s.out + k * s.width;
        each<Single>(s.width, [&](int64_t i, auto part) {
            part.store(fused(x, part.load(times + i), part.load(weight + i)), out + i);
        });
    }
}

}  // namespace
}  // namespace hr
