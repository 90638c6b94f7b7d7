// Maximal marginal relevance (Carbonell, Goldstein, SIGIR 1998) with a sliding window of similarity columns.
#include <cmath>

#include "core/status.h"
#include "dpp/dpp.h"
#include "dpp/loop.h"

namespace {

using hr::kPanel;

class Mmr {
  public:
    Mmr(const hr::List& list, const hr::GreedyKernels& kernels, hr::Scratch& scratch, int64_t steps, double theta,
        int64_t window)
        : list_(list),
          kernels_(kernels),
          theta_(theta),
          window_(window < steps ? window : 0),
          stride_(hr::blocks(list.batch->width)) {
        base_ = scratch.base.take(list.padded);
        lower_ = scratch.lower.take(list.padded);
        upper_ = scratch.upper.take(list.padded);
        ceiling_ = scratch.ceiling.take(hr::blocks(list.count()));
        std::fill_n(ceiling_, hr::blocks(list.count()), hr::kNothing);
        until_ = scratch.until.take(list.count());
        applied_ = scratch.applied.take(list.count());
        vectors_ = scratch.vectors.take(steps, stride_);
        queries_ = scratch.queries.take(steps, list.batch->width);
        query_ = scratch.query.take(stride_ + steps);
        // Without eviction a running maximum is enough.
        columns_ = scratch.columns.take(list.padded, std::max<int64_t>(window_, 1));
        const double reward = std::max(std::abs(list.highest), std::abs(list.lowest));
        // A product of the smallest numbers may vanish in float32.
        const double lost = 2e-45 * static_cast<double>(list.batch->width);
        relevance_ = {1.0 - theta, (1.0 - theta) * (list.delta * list.longest + lost) + 1e-14 * reward};
        // The first pick goes by the reward alone.
        std::copy_n(list.rewards, list.padded, base_);
        std::fill(base_ + list.n, base_ + list.padded, hr::kNothing);
        std::fill_n(applied_, list.count(), int64_t{0});
        if (!window_) std::fill_n(columns_, list.padded, -std::numeric_limits<float>::infinity());
        std::fill_n(ceiling_, list.count(), -hr::kNothing);
        std::fill_n(until_, list.count(), int64_t{0});
    }

    const double* ceilings() const { return ceiling_; }
    hr::Bounds bounds(int64_t p) const { return {lower_ + p * kPanel, upper_ + p * kPanel}; }

    double visit(int64_t p) {
        const double* base = base_ + p * kPanel;
        if (!added_) {
            std::copy_n(base, kPanel, lower_ + p * kPanel);
            std::copy_n(base, kPanel, upper_ + p * kPanel);
            return ceiling_[p] = *std::max_element(base, base + kPanel);
        }
        const int64_t width = list_.batch->width, from = applied_[p];
        const hr::Rows<float> rows{queries_, width};
        applied_[p] = added_;
        if (window_) {
            // While the newest picks stay in the window, likeness to them alone bounds the scores.
            const int64_t newest = (window_ + 3) / 4;
            until_[p] = added_ + window_ - newest;
            return kernels_.slide(list_.panel(p), width, rows, std::max(from, added_ - window_), added_, window_, base,
                                  relevance_, columns_ + p * kPanel * window_, bounds(p), newest, ceiling_ + p);
        }
        until_[p] = std::numeric_limits<int64_t>::max();
        return ceiling_[p] = kernels_.grow(list_.panel(p), width, rows, from, added_, base, relevance_,
                                           columns_ + p * kPanel, bounds(p));
    }

    double exact(int64_t slot) { return added_ ? base_[slot] - relevance_.weight * likeness(slot) : base_[slot]; }

    void take(int64_t slot) { base_[slot] = hr::kNothing; }

    double gain(int64_t slot, double) {
        const double reward = theta_ * list_.rewards[slot];
        return added_ ? reward - relevance_.weight * likeness(slot) : reward;
    }
    double log_distance(int64_t) const { return 0.0; }

    void add(const int64_t* slots, int64_t position) {
        const float* vector = list_.vector(slots[position]);
        const int64_t width = list_.batch->width;
        std::copy_n(vector, width, queries_ + position * width);
        widen(vector, vectors_ + position * stride_);
        ++added_;
        for (int64_t p = 0; p < list_.count(); ++p)
            if (added_ > until_[p]) ceiling_[p] = -hr::kNothing;
        if (added_ > 1) return;
        for (int64_t slot = 0; slot < list_.n; ++slot)
            if (base_[slot] != hr::kNothing) base_[slot] = theta_ * list_.rewards[slot];
    }

  private:
    void widen(const float* vector, double* out) const {
        std::copy_n(vector, list_.batch->width, out);
        std::fill(out + list_.batch->width, out + stride_, 0.0);
    }

    // The largest inner product with the window, in float64.
    double likeness(int64_t slot) {
        widen(list_.vector(slot), query_);
        const int64_t held = window_ ? std::min(window_, added_) : added_;
        double* products = query_ + stride_;
        kernels_.products({vectors_ + (added_ - held) * stride_, stride_}, held, query_, products);
        return *std::max_element(products, products + held);
    }

    const hr::List& list_;
    const hr::GreedyKernels& kernels_;
    const double theta_;
    const int64_t window_, stride_;
    hr::Relevance relevance_;
    double *base_, *lower_, *upper_, *ceiling_;
    double *vectors_, *query_;   // the picks' vectors; an item's, and its products with them
    float *queries_, *columns_;  // the picks' vectors; each item's products with them
    int64_t *applied_, *until_;  // of each panel: the picks that its columns have seen; how long its ceiling holds
    int64_t added_ = 0;
};

}  // namespace

hr_status hr_mmr(const hr_lists* lists, int64_t k, double theta, int64_t window, int threads, const hr_picks* picks) {
    return hr::guarded([&] {
        hr::check_lists(lists, k, theta, window, picks);
        hr::each_list(*lists, threads, [&](const hr::List& list, const auto& kernels, hr::Scratch& scratch) {
            Mmr objective(list, kernels, scratch, std::min(k, list.n), theta, window);
            hr::Loop<Mmr>(list, kernels, scratch, k, objective).run(*picks);
        });
    });
}
