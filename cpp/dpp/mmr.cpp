// Maximal marginal relevance (Carbonell, Goldstein, SIGIR 1998) with a sliding window of similarity columns.
#include "core/status.h"
#include "dpp/dpp.h"
#include "dpp/greedy.h"

namespace {

class Mmr {
  public:
    Mmr(const hr::List& list, const hr::GreedyKernels& kernels, hr::Scratch& scratch, int64_t steps, double theta,
        int64_t window)
        : list_(list), kernels_(kernels), theta_(theta), window_(window && window < steps ? window : 0) {
        hr::load(list, kernels, theta, scratch);
        items_ = {scratch.panels.take(0), list.padded, list.batch->width};
        base_ = scratch.base.take(0);
        score_ = scratch.score.take(list.padded);
        // Without eviction a running maximum is enough.
        const int64_t held = std::max<int64_t>(window_, 1);
        columns_ = {scratch.columns.take(held, list.padded), held};
        std::copy_n(list.rewards(), list.n, score_);
        std::fill(score_ + list.n, score_ + list.padded, hr::kNothing);
    }

    const double* score() const { return score_; }  // before the first pick: the rewards
    double gain(int64_t item) const { return added_ ? score_[item] : base_[item]; }

    void add(const int64_t* picked, int64_t position) {
        base_[picked[position]] = hr::kNothing;
        const int64_t slot = added_ % columns_.held;
        const int64_t kept = window_ == 1 ? 0 : std::min(added_, columns_.held);
        kernels_.compare(items_, list_.vector(picked[position]), columns_, slot, kept, base_, 1.0 - theta_, score_);
        ++added_;
    }

  private:
    const hr::List& list_;
    const hr::GreedyKernels& kernels_;
    const double theta_;
    const int64_t window_;
    hr::Items items_;
    hr::Columns columns_;
    double *base_, *score_;
    int64_t added_ = 0;
};

}  // namespace

hr_status hr_mmr(const hr_lists* lists, int64_t k, double theta, int64_t window, int threads, const hr_picks* picks) {
    return hr::guarded([&] {
        hr::check_lists(lists, k, theta, window, picks);
        hr::each_list(*lists, threads, [&](const hr::List& list, const auto& kernels, hr::Scratch& scratch) {
            Mmr objective(list, kernels, scratch, std::min(k, list.n), theta, window);
            hr::pick_list(list, kernels, scratch, k, objective, *picks);
        });
    });
}
