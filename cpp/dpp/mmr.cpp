// Maximal marginal relevance (Carbonell, Goldstein, SIGIR 1998) with a sliding window of similarity columns.
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
          stride_((list.batch->width + hr::kBlock - 1) / hr::kBlock * hr::kBlock) {
        base_ = scratch.base.take(list.padded);
        score_ = scratch.score.take(list.padded);
        ceiling_ = scratch.ceiling.take(list.count());
        applied_ = scratch.applied.take(list.count());
        vectors_ = scratch.vectors.take(steps, stride_);
        // Without eviction a running maximum is enough.
        columns_ = scratch.columns.take(list.padded, std::max<int64_t>(window_, 1));
        // The first pick goes by the reward alone.
        std::copy_n(list.rewards, list.padded, base_);
        std::fill(base_ + list.n, base_ + list.padded, hr::kNothing);
        std::fill_n(applied_, list.count(), int64_t{0});
        if (!window_) std::fill_n(columns_, list.padded, hr::kNothing);
        std::fill_n(ceiling_, list.count(), -hr::kNothing);
    }

    double ceiling(int64_t p) const { return ceiling_[p]; }
    const double* scores(int64_t p) const { return score_ + p * kPanel; }

    double visit(int64_t p) {
        const double* base = base_ + p * kPanel;
        double* score = score_ + p * kPanel;
        if (!added_) {
            std::copy_n(base, kPanel, score);
            return *std::max_element(score, score + kPanel);
        }
        const hr::Rows rows{vectors_, stride_};
        const int64_t width = list_.batch->width, from = applied_[p];
        applied_[p] = added_;
        if (window_)
            return kernels_.slide(list_.panel(p), width, rows, std::max(from, added_ - window_), added_, window_, base,
                                  1.0 - theta_, columns_ + p * kPanel * window_, score);
        return ceiling_[p] = kernels_.grow(list_.panel(p), width, rows, from, added_, base, 1.0 - theta_,
                                           columns_ + p * kPanel, score);
    }

    void take(int64_t slot) { base_[slot] = hr::kNothing; }

    // The slot's panel is up to date, but its score is gone when the item was pinned.
    double gain(int64_t slot) const {
        const double reward = theta_ * list_.rewards[slot];
        if (!added_) return reward;
        const int64_t held = std::max<int64_t>(window_, 1);
        const double* column = columns_ + slot / kPanel * kPanel * held + slot % kPanel;
        double peak = *column;
        for (int64_t t = 1; t < std::min(added_, held); ++t) peak = std::max(peak, column[t * kPanel]);
        return reward - (1.0 - theta_) * peak;
    }
    double log_distance(int64_t) const { return 0.0; }

    void add(const int64_t* slots, int64_t position) {
        const float* vector = list_.vector(slots[position]);
        double* row = vectors_ + position * stride_;
        for (int64_t c = 0; c < list_.batch->width; ++c) row[c] = vector[c];
        if (!added_++)
            for (int64_t slot = 0; slot < list_.n; ++slot)
                if (base_[slot] != hr::kNothing) base_[slot] = theta_ * list_.rewards[slot];
    }

  private:
    const hr::List& list_;
    const hr::GreedyKernels& kernels_;
    const double theta_;
    const int64_t window_, stride_;
    double *base_, *score_, *ceiling_, *vectors_, *columns_;
    int64_t* applied_;  // of each panel: the picks that its columns have seen
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
