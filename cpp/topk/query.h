// A query of the scan: its lengths, its error bound and its float64 score.
#pragma once

#include <cmath>
#include <limits>

#include "topk/kernels.h"
#include "topk/topk.h"

namespace hr {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Query {
    const float* values;
    const double* wide;  // the values, in float64
    double length;       // |q|
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

    const float* item(int64_t row) const { return items + row * dim; }

    // The scores that decide, of n rows.
    void score(const Query& query, const int32_t* rows, int64_t n, Ranked* out) const {
        const Term term = metric == HR_METRIC_L2 ? Term::kSquaredDifference : Term::kProduct;
        kernels->rescore(term, query.wide, items, dim, rows, n, out);
        if (metric == HR_METRIC_IP) return;
        for (int64_t i = 0; i < n; ++i) out[i].score = metric == HR_METRIC_L2 ? -out[i].score : cosine(query, out[i]);
    }

    double cosine(const Query& query, const Ranked& product) const {
        const float* x = item(product.row);
        const double lengths = query.length * std::sqrt(kernels->dot(x, x, dim));
        return lengths > 0 ? product.score / lengths : 0.0;
    }

    // The score on the scan's scale, which ranks alike: the scan leaves out |q| for l2.
    double scan_scale(const Query& query, double score) const {
        return metric == HR_METRIC_L2 ? (score + query.length * query.length) / 2 : score;
    }

    // No scan score of an item no longer than `norm` is further than this from its float64 score; see the docs for the
    // proof. Infinite where float32 could overflow.
    double bound(const Query& query, double norm) const {
        constexpr double kSafe = 0x1p60, kTiny = 0x1p-124;
        const double d = static_cast<double>(dim);
        const double q = metric == HR_METRIC_COSINE ? 1.0 : query.length;
        if (!(q <= kSafe && norm <= kSafe)) return kInfinity;
        const double unit = 0x1p-24 * (metric == HR_METRIC_COSINE ? 2 * d + 16 : d + 8);
        const double rounding = 1.01 * unit / (1 - unit);
        const double underflow = kTiny * (d + std::sqrt(d) * (q + norm));
        if (metric != HR_METRIC_L2) return rounding * q * norm + underflow;
        return rounding * (q * norm + norm * norm / 2) + 0x1p-46 * (q + norm) * (q + norm) + underflow;
    }
};

}  // namespace hr
