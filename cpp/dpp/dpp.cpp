// Greedy MAP of a DPP (Chen, Zhang, Zhou, NeurIPS 2018): every item carries its coordinates on an orthonormal basis of
// the window's span, so that d2 = |v|^2 - |coordinates|^2. A pick adds one coordinate; when the oldest pick leaves,
// Givens rotations turn the basis until one direction belongs to it alone, and that coordinate is dropped.
#include "dpp/dpp.h"

#include <cmath>
#include <stdexcept>
#include <string>

#include "core/status.h"
#include "dpp/greedy.h"

namespace {

class Dpp {
  public:
    Dpp(const hr::List& list, const hr::GreedyKernels& kernels, hr::Scratch& scratch, int64_t steps, double theta,
        int64_t window, double eps)
        : list_(list), kernels_(kernels), theta_(theta), eps_(eps), window_(window) {
        const int64_t held = window ? std::min(window, steps) : steps;
        hr::load(list, kernels, theta, scratch);
        panels_ = scratch.panels.take(0);
        base_ = scratch.base.take(0);
        d2_ = scratch.d2.take(list.padded);
        score_ = scratch.score.take(list.padded);
        columns_ = scratch.columns.take(held, list.padded);
        weight_ = scratch.weight.take(held);
        active_ = scratch.active.take(held);
        dormant_ = scratch.dormant.take(held);
        kernels.squares(panels_, list.padded, list.batch->width, d2_);
    }

    const double* score() {
        kernels_.log_score(base_, d2_, 1.0 - theta_, eps_, list_.padded, score_);
        return score_;
    }
    double gain(int64_t item) const { return score_[item]; }

    void add(const int64_t* picked, int64_t position) {
        base_[picked[position]] = hr::kNothing;
        if (window_ && position >= window_) leave(picked[position - window_]);
        if (!join(picked[position]) && window_) dormant_[dormant_count_++] = picked[position];
    }

  private:
    double* column(int64_t t) { return columns_ + t * list_.padded; }

    // Adds the pick's direction, unless the window's span holds it already.
    bool join(int64_t item) {
        if (!(d2_[item] > eps_)) return false;
        double* fresh = column(count_);
        kernels_.dots(panels_, list_.padded, list_.batch->width, list_.vector(item), fresh);
        for (int64_t t = 0; t < count_; ++t) weight_[t] = column(t)[item];
        kernels_.extend(columns_, count_, weight_, 1.0 / std::sqrt(d2_[item]), list_.padded, fresh, d2_);
        active_[count_++] = item;
        return true;
    }

    void leave(int64_t item) {
        const int64_t at = std::find(active_, active_ + count_, item) - active_;
        if (at == count_) {
            dormant_count_ = std::remove(dormant_, dormant_ + dormant_count_, item) - dormant_;
            return;
        }
        // Member t+1 has no coordinate beyond t+1: each rotation clears that one, and the last column belongs to
        // `item`.
        for (int64_t t = at; t + 1 < count_; ++t) {
            const int64_t member = active_[t + 1];
            const double x = column(t)[member], y = column(t + 1)[member], r = std::sqrt(x * x + y * y);
            kernels_.rotate(column(t), column(t + 1), x / r, y / r, list_.padded);
            active_[t] = member;
        }
        kernels_.restore(column(--count_), list_.padded, d2_);
        wake();
    }

    // Picks that depended on the one that left may now have a direction of their own.
    void wake() {
        int64_t kept = 0;
        for (int64_t i = 0; i < dormant_count_; ++i)
            if (!join(dormant_[i])) dormant_[kept++] = dormant_[i];
        dormant_count_ = kept;
    }

    const hr::List& list_;
    const hr::GreedyKernels& kernels_;
    const double theta_, eps_;
    const int64_t window_;
    const float* panels_;
    double *base_, *d2_, *score_, *columns_, *weight_;
    int64_t *active_, *dormant_;  // the window's picks that have a column, and those that add no direction
    int64_t count_ = 0, dormant_count_ = 0;
};

}  // namespace

hr_status hr_dpp(const hr_lists* lists, int64_t k, double theta, int64_t window, double eps, int threads,
                 const hr_picks* picks) {
    return hr::guarded([&] {
        hr::check_lists(lists, k, theta, window, picks);
        if (!(eps >= 1e-12 && std::isfinite(eps)))
            throw std::invalid_argument("eps: expected a finite number of at least 1e-12, got " + std::to_string(eps));
        hr::each_list(*lists, threads, [&](const hr::List& list, const auto& kernels, hr::Scratch& scratch) {
            Dpp objective(list, kernels, scratch, std::min(k, list.n), theta, window, eps);
            hr::pick_list(list, kernels, scratch, k, objective, *picks);
        });
    });
}
