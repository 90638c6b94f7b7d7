// A query of the scan: its lengths, its error bound and its float64 score.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "topk/order.h"
#include "topk/packed.h"
#include "topk/topk.h"

namespace hr {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// No scan score of an item within an extent is further from its float64 score; see the docs for the proof.
struct Bound {
    static constexpr double kSafe = 0x1p60;  // longer vectors could overflow float32
    double constant, per_norm, per_norm_squared, per_residual;

    // Infinite where float32 could overflow.
    double at(const Extent& extent) const {
        if (!(extent.norm <= kSafe && extent.residual <= kSafe)) return kInfinity;
        return constant + (per_norm + per_norm_squared * extent.norm) * extent.norm + per_residual * extent.residual;
    }
};

struct Query {
    const float* values;
    const double* wide;  // the values, in float64
    double length;       // |q|
    Bound bound;
};

// The problem that every part of the search reads.
struct Problem {
    const TopkKernels* kernels;
    const float* items;
    int64_t n_items, dim;
    int64_t k;      // at most n_items, at least 1
    int64_t width;  // of a row of the output: the k that was asked for
    hr_metric metric;
    const uint64_t* mask;
    int64_t mask_stride;
    const Packed* packed;   // null: the items are scanned as they are, in float32
    const Packed* numbers;  // what decides where `items` is null
    bool alone;             // each query reads only the items that its own mask allows

    static constexpr int64_t kUnpacked = kPanel;  // rows at a time, while they decide

    // The scores that decide, of n rows, into ranking.ranked from `at` on.
    void score(const Query& query, const int32_t* rows, int64_t n, const Ranking& ranking, int64_t at) const {
        Ranked* out = ranking.ranked + at;
        if (items) return score_rows(query, items, rows, n, out);
        for (int64_t first = 0; first < n; first += kUnpacked) {
            const int64_t count = std::min(kUnpacked, n - first);
            int32_t places[kUnpacked];
            for (int32_t i = 0; i < count; ++i) places[i] = i;
            unpack_rows(numbers->layout, numbers->data, rows + first, count, ranking.unpacked);
            score_rows(query, ranking.unpacked, places, count, out + first);
            for (int64_t i = first; i < first + count; ++i) out[i].row = rows[i];
        }
    }

    void score_rows(const Query& query, const float* vectors, const int32_t* rows, int64_t n, Ranked* out) const {
        const Term term = metric == HR_METRIC_L2 ? Term::kSquaredDifference : Term::kProduct;
        kernels->rescore(term, query.wide, vectors, dim, rows, n, out);
        if (metric != HR_METRIC_IP)
            for (int64_t i = 0; i < n; ++i)
                out[i].score = metric == HR_METRIC_L2 ? -out[i].score : cosine(query, vectors, out[i]);
        if (!packed && !numbers) return;
        // Nobody looked at the items in this call: what is not a number must not come near a sort.
        for (int64_t i = 0; i < n; ++i)
            if (std::isnan(out[i].score)) out[i].score = -kInfinity;
    }

    double cosine(const Query& query, const float* vectors, const Ranked& product) const {
        const float* x = vectors + product.row * dim;
        const double lengths = query.length * std::sqrt(kernels->dot(x, x, dim));
        return lengths > 0 ? product.score / lengths : 0.0;
    }

    // The score on the scan's scale, which ranks alike: the scan leaves out |q| for l2.
    double scan_scale(const Query& query, double score) const {
        return metric == HR_METRIC_L2 ? (score + query.length * query.length) / 2 : score;
    }

    // How far a sum of products rounds, in units of the product of the lengths; and the query's own rounding.
    Bound bound(double length, const PackedVector& rounded) const {
        constexpr double kTiny = 0x1p-124, kDouble = 0x1p-46, kRaise = 1 + 0x1p-20;
        const double d = static_cast<double>(dim), q = metric == HR_METRIC_COSINE ? 1.0 : length;
        if (!(q <= Bound::kSafe)) return {kInfinity, 0.0, 0.0, 0.0};
        const double unit = 0x1p-24 * units();
        const double rounding = 1.01 * unit / (1 - unit);
        Bound bound{kTiny * (d + std::sqrt(d) * q), kTiny * std::sqrt(d), 0.0, 0.0};
        if (packed) {
            bound.per_residual = kRaise * q;
            bound.per_norm += kRaise * (rounded.residual + rounding * rounded.length + 0x1p-40 * q);
        } else {
            bound.per_norm += rounding * q;
        }
        if (metric == HR_METRIC_L2) {
            bound.constant += kDouble * q * q;
            bound.per_norm += 2 * kDouble * q;
            bound.per_norm_squared = rounding / 2 + kDouble;
        }
        return bound;
    }

    double units() const {
        const double d = static_cast<double>(dim);
        if (packed) return packed->layout.scan == HR_SCAN_INT8 ? 16 : 2 * d + 16;
        return metric == HR_METRIC_COSINE ? 2 * d + 16 : d + 8;
    }
};

}  // namespace hr
