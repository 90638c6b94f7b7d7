// The mixture's inner kernels, written once: a block of candidates of one request goes through all layers in the first
// cache, and only its logits come out.
#pragma once

#include "core/dense.h"
#include "mixture_of_experts/kernels.h"

namespace hr {
namespace {

static_assert(kBlock <= kMaxBlock);

class Block {
  public:
    Block(const hr_mixture_model& model, const MixtureTask& task, float* scratch)
        : m_(model), t_(task), row_(model), ahead_(model.item_rows, row_.width, task.item, task.count, tiles(model)) {
        auto take = [&](int64_t columns) {
            float* part = scratch;
            scratch += columns * kBlock;
            return part;
        };
        gates_ = take(row_.hidden);
        wide_ = gates_ + row_.wide * kBlock;
        query_ = gates_ + row_.embedding * kBlock;
        experts_ = take(m_.experts * m_.units);
        inputs_ = take(m_.dim * (1 + m_.attention) + m_.dynamic_width);
        mixed_ = take(m_.units);
        head_ = take(m_.head_units);
        hidden_ = take(0);
    }

    void run(int64_t first) {
        count_ = t_.count - first < kBlock ? t_.count - first : kBlock;
        find(first);
        gather(rows_, 1 + t_.fields, t_.request.row, 0, row_.embedding + m_.dim, gates_);
        candidate_inputs();
        affine<false>(inputs_, width_, m_.candidate_weight, row_.width, row_.embedding, nullptr, gates_);
        for (int64_t t = 0; t < m_.targets; ++t) softmax(gates_ + t * m_.experts * kBlock, m_.experts);
        for (int64_t e = 0; e < m_.experts; ++e) expert(e);
        for (int64_t t = 0; t < m_.targets; ++t) target(t, t_.out + t * t_.stride + first);
    }

  private:
    static int64_t tiles(const hr_mixture_model& m) {
        return m.experts * (m.hidden / kTile + m.units / kTile) + m.targets * (m.head_units / kTile);
    }

    // Lanes behind the last candidate repeat the first one.
    void find(int64_t first) {
        for (int i = 0; i < kBlock; ++i) {
            const int64_t c = first + (i < count_ ? i : 0);
            rows_[i] = m_.item_rows + t_.item[c] * row_.width;
            for (int64_t f = 0; f < t_.fields; ++f)
                rows_[(1 + f) * kBlock + i] = m_.code_rows + t_.codes[c * t_.fields + f] * row_.width;
            dynamic_[i] = t_.dynamic + c * m_.dynamic_width;
        }
        ahead_.begin(first + kBlock);
    }

    void candidate_inputs() {
        float* x = inputs_;
        for (int64_t k = 0; k < m_.dim; ++k, x += kBlock)
            for (int v = 0; v < kBlock; v += Vec::kLanes)
                (Vec::load(query_ + k * kBlock + v) * Vec::all(t_.request.taste[k])).store(x + v);
        if (m_.attention) {
            attend(x);
            x += m_.dim * kBlock;
        }
        gather(dynamic_, 1, nullptr, 0, m_.dynamic_width, x);
        width_ = (x - inputs_) / kBlock + m_.dynamic_width;
    }

    void attend(float* out) {
        const int64_t count = t_.request.count;
        std::memset(out, 0, m_.dim * kBlock * sizeof(float));
        if (!count) return;
        std::memset(hidden_, 0, count * kBlock * sizeof(float));
        affine<false>(query_, m_.dim, t_.request.keys, count, count, nullptr, hidden_);
        softmax(hidden_, count);
        affine<false>(hidden_, count, t_.request.behaviours, m_.dim, m_.dim, nullptr, out);
    }

    void expert(int64_t e) {
        const int64_t column = row_.hidden + e * m_.hidden;
        float* out = experts_ + e * m_.units * kBlock;
        gather(rows_, 1 + t_.fields, t_.request.row, column, m_.hidden, hidden_);
        affine<true>(inputs_, width_, m_.candidate_weight + column, row_.width, m_.hidden, nullptr, hidden_, ahead_);
        affine<true>(hidden_, m_.hidden, m_.expert_weight + e * m_.hidden * m_.units, m_.units, m_.units,
                     m_.expert_bias + e * m_.units, out, ahead_);
    }

    void target(int64_t t, float* logits) {
        mix(gates_ + t * m_.experts * kBlock);
        const int64_t h = m_.head_units;
        affine<true>(mixed_, m_.units, m_.head_weight + t * m_.units * h, h, h, m_.head_bias + t * h, head_, ahead_);
        float* wide = wide_ + t * kBlock;
        for (int v = 0; v < kBlock; v += Vec::kLanes) {
            Vec sum = Vec::all(m_.out_bias[t]);
            for (int64_t i = 0; i < h; ++i)
                sum = fused(Vec::load(head_ + i * kBlock + v), Vec::all(m_.out_weight[t * h + i]), sum);
            (sum + Vec::load(wide + v)).store(wide + v);
        }
        std::memcpy(logits, wide, count_ * sizeof(float));
    }

    // The experts' vectors under a target's gates.
    void mix(const float* gates) {
        int64_t u = 0;
        for (; u + kTile <= m_.units; u += kTile) mix_tile<kTile>(gates, experts_ + u * kBlock, mixed_ + u * kBlock);
        for (; u < m_.units; ++u) mix_tile<1>(gates, experts_ + u * kBlock, mixed_ + u * kBlock);
    }

    template <int N>
    void mix_tile(const float* gates, const float* vectors, float* out) const {
        constexpr int L = Vec::kLanes;
        Vec sum[N][kBlockVecs];
        for (int u = 0; u < N; ++u)
            for (int v = 0; v < kBlockVecs; ++v) sum[u][v] = Vec::zero();
        for (int64_t e = 0; e < m_.experts; ++e) {
            const float* vector = vectors + e * m_.units * kBlock;
            Vec gate[kBlockVecs];
            for (int v = 0; v < kBlockVecs; ++v) gate[v] = Vec::load(gates + e * kBlock + v * L);
            for (int u = 0; u < N; ++u)
                for (int v = 0; v < kBlockVecs; ++v)
                    sum[u][v] = fused(gate[v], Vec::load(vector + u * kBlock + v * L), sum[u][v]);
        }
        for (int u = 0; u < N; ++u)
            for (int v = 0; v < kBlockVecs; ++v) sum[u][v].store(out + u * kBlock + v * L);
    }

    const hr_mixture_model& m_;
    const MixtureTask& t_;
    const MixtureRow row_;
    Ahead ahead_;
    int64_t count_ = 0, width_ = 0;
    const float *rows_[(1 + HR_MIXTURE_MAX_FIELDS) * kBlock], *dynamic_[kBlock];
    float *gates_, *wide_, *query_, *experts_, *inputs_, *mixed_, *head_, *hidden_;
};

void row(const float* x, int64_t inputs, const float* weight, int64_t outputs, float* out) {
    affine_row(x, inputs, weight, outputs, outputs, nullptr, out);
}

void candidates(const hr_mixture_model& model, const MixtureTask& task, float* scratch) {
    Block block(model, task, scratch);
    for (int64_t first = 0; first < task.count; first += kBlock) block.run(first);
}

constexpr MixtureKernels kKernels{row, candidates};

}  // namespace
}  // namespace hr
