// Softmax, and attention: over a request's sequence, and among the fields of a row.
#pragma once

#include "network/steps_dense.h"

namespace hr {
namespace {

// The softmax of `count` columns, in place; at least one.
template <class L>
inline void soften(float* x, int64_t count) {
    constexpr int C = L::kColumn;
    vectors<L>([&](int v) {
        float* lane = x + v;
        Vec peak = L::load(lane), sum = Vec::zero();
        for (int64_t i = 1; i < count; ++i) peak = max(peak, L::load(lane + i * C));
        for (int64_t i = 0; i < count; ++i) {
            const Vec term = exp_of(L::load(lane + i * C) - peak);
            L::store(term, lane + i * C);
            sum = sum + term;
        }
        const Vec share = Vec::all(1.0f) / sum;
        for (int64_t i = 0; i < count; ++i) L::store(L::load(lane + i * C) * share, lane + i * C);
    });
}

// A request's entries, `count` of `width` numbers.
struct Sequence {
    const float* entries;
    int64_t width, count;
};

inline Sequence sequence_of(const hr_network_sequence& s, int64_t request) {
    const int64_t count = s.counts[request];
    return {count ? s.entries + request * s.longest * s.width : nullptr, s.width, count};
}

// keys[k][n] = entries[n][k] * scale.
inline void turn_keys(const Sequence& s, float scale, float* keys) {
    for (int64_t n = 0; n < s.count; ++n)
        for (int64_t k = 0; k < s.width; ++k) keys[k * s.count + n] = s.entries[n * s.width + k] * scale;
}

inline void mean_of(const Sequence& s, float* out) {
    const Vec count = Vec::all(static_cast<float>(s.count > 1 ? s.count : 1));
    each<Single>(s.width, [&](int64_t i, auto part) {
        Vec sum = Vec::zero();
        for (int64_t n = 0; n < s.count; ++n) sum = sum + part.load(s.entries + n * s.width + i);
        part.store(sum / count, out + i);
    });
}

// logits: a column for each entry, to work in.
template <class L>
inline void attend(const float* query, const Sequence& s, const float* keys, float* logits, float* out) {
    if (!s.count) {
        std::memset(out, 0, static_cast<size_t>(s.width) * L::kColumn * sizeof(float));
        return;
    }
    product<L>({query, keys, s.width, s.count}, s.count, logits);
    soften<L>(logits, s.count);
    product<L>({logits, s.entries, s.count, s.width}, s.width, out);
}

// logits[g] = scale q . k[g] for N vectors of `part` columns, `stride` apart.
template <class L, int N>
inline void score_tile(const float* q, const float* k, int64_t part, int64_t stride, Vec scale, float* logits) {
    constexpr int C = L::kColumn;
    Vec sum[N][L::kVecs];
    for (int g = 0; g < N; ++g)
        for (int v = 0; v < L::kVecs; ++v) sum[g][v] = Vec::zero();
    for (int64_t j = 0; j < part; ++j)
        for (int v = 0; v < L::kVecs; ++v) {
            const Vec a = L::load(q + j * C + v * Vec::kLanes);
            for (int g = 0; g < N; ++g)
                sum[g][v] = fused(a, L::load(k + (g * stride + j) * C + v * Vec::kLanes), sum[g][v]);
        }
    for (int g = 0; g < N; ++g)
        for (int v = 0; v < L::kVecs; ++v) L::store(sum[g][v] * scale, logits + g * C + v * Vec::kLanes);
}

// logits: a column for each field, to work in.
template <class L>
inline void attend_fields(const SelfAttendStep& s, float scale, float* columns, float* logits) {
    constexpr int C = L::kColumn;
    const int64_t part = s.width / s.heads;
    const Vec factor = Vec::all(scale);
    for (int64_t h = 0; h < s.heads; ++h) {
        const float *k = columns + (s.k + h * part) * C, *values = columns + (s.v + h * part) * C;
        for (int64_t f = 0; f < s.fields; ++f) {
            const int64_t place = f * s.width + h * part;
            const float* q = columns + (s.q + place) * C;
            int64_t g = 0;
            for (; g + 4 <= s.fields; g += 4)
                score_tile<L, 4>(q, k + g * s.width * C, part, s.width, factor, logits + g * C);
            for (; g < s.fields; ++g) score_tile<L, 1>(q, k + g * s.width * C, part, s.width, factor, logits + g * C);
            soften<L>(logits, s.fields);
            mix<L>(logits, values, s.fields, s.width, part, columns + (s.out + place) * C);
        }
    }
}

}  // namespace
}  // namespace hr
