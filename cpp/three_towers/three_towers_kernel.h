// The inner kernels of the three towers, written once: a block of candidates of one request goes through all layers in
// the first cache, and only its logits come out.
#pragma once

#include "core/dense.h"
#include "three_towers/kernels.h"

namespace hr {
namespace {

static_assert(kBlock <= kMaxBlock);

void request(const hr_towers_model& m, const float* x, const TowersRequest& out, float* scratch) {
    const int64_t width = towers_width(m), upper = m.upper_units;
    float *hidden = scratch, *user = scratch + m.tower_units;
    affine_row(x, m.request_width, m.request_weight, width, width, nullptr, out.row);
    affine_row(x, m.request_width, m.tower_weight, m.tower_units, m.tower_units, m.tower_bias, hidden);
    for (int64_t i = 0; i < m.tower_units; ++i) hidden[i] = hidden[i] > 0.0f ? hidden[i] : 0.0f;
    affine_row(hidden, m.tower_units, m.vector_weight, m.dim, m.dim, m.vector_bias, user);
    affine_row(user, m.dim, m.user_weight, upper, upper, m.upper_bias, out.start);
    const float* product = m.upper_weight + 2 * m.dim * upper;
    for (int64_t k = 0; k < m.dim; ++k)
        for (int64_t h = 0; h < upper; ++h)
            out.upper[k * upper + h] = __builtin_fmaf(user[k], product[k * upper + h], m.upper_weight[k * upper + h]);
    std::memcpy(out.upper + m.dim * upper, m.upper_weight + m.dim * upper, m.dim * upper * sizeof(float));
}

// Lanes behind the last candidate repeat the first one.
void block(const hr_towers_model& m, const TowersTask& t, int64_t first, float* scratch, Ahead& ahead) {
    const int64_t width = towers_width(m), dim = m.dim, upper = m.upper_units;
    const int64_t count = t.count - first < kBlock ? t.count - first : kBlock;
    const float *rows[(1 + HR_TOWERS_MAX_FIELDS) * kBlock], *dynamic[kBlock];
    for (int i = 0; i < kBlock; ++i) {
        const int64_t c = first + (i < count ? i : 0);
        rows[i] = m.item_rows + t.item[c] * width;
        for (int64_t f = 0; f < t.fields; ++f)
            rows[(1 + f) * kBlock + i] = m.code_rows + t.codes[c * t.fields + f] * width;
        dynamic[i] = t.dynamic + c * m.dynamic_width;
    }
    ahead.begin(first + kBlock);

    float *vectors = scratch, *cross = vectors + dim * kBlock, *wide = cross + dim * kBlock;
    float *inputs = vectors + width * kBlock, *hidden = inputs + m.dynamic_width * kBlock;
    gather(rows, 1 + t.fields, t.request.row, 0, 2 * dim + m.targets, vectors);
    gather(dynamic, 1, nullptr, 0, m.dynamic_width, inputs);
    affine<true>(inputs, m.dynamic_width, m.dynamic_weight + dim, width, dim, nullptr, cross, ahead);
    affine<false>(inputs, m.dynamic_width, m.dynamic_weight + 2 * dim, width, m.targets, nullptr, wide);
    affine<true>(vectors, 2 * dim, t.request.upper, upper, upper, t.request.start, hidden, ahead);
    affine<false>(hidden, upper, m.last_weight, m.targets, m.targets, nullptr, wide);
    for (int64_t target = 0; target < m.targets; ++target)
        std::memcpy(t.out + target * t.stride + first, wide + target * kBlock, count * sizeof(float));
}

void candidates(const hr_towers_model& model, const TowersTask& task, float* scratch) {
    const int64_t tiles = (model.dim + model.upper_units) / kTile;
    Ahead ahead(model.item_rows, towers_width(model), task.item, task.count, tiles);
    for (int64_t first = 0; first < task.count; first += kBlock) block(model, task, first, scratch, ahead);
}

constexpr TowersKernels kKernels{request, candidates};

}  // namespace
}  // namespace hr
