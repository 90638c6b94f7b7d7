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
        items_ = {scratch.panels.take(0), list.padded, list.batch->width};
        base_ = scratch.base.take(0);
        d2_ = scratch.d2.take(list.padded);
        score_ = scratch.score.take(list.padded);
        columns_ = {scratch.columns.take(held, list.padded), held};
        weight_ = scratch.weight.take(held, 3);
        cosine_ = weight_ + held;
        sine_ = cosine_ + held;
        active_ = scratch.active.take(held);
        dormant_ = scratch.dormant.take(held);
        kernels.squares(items_, d2_);
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
    // Adds the pick's direction, unless the window's span holds it already.
    bool join(int64_t item) {
        const double pivot = d2_[item];
        if (!(pivot > eps_)) return false;
        for (int64_t t = 0; t < count_; ++t) weight_[t] = *columns_.at(item, t);
        kernels_.join(items_, list_.vector(item), columns_, count_, weight_, 1.0 / std::sqrt(pivot), d2_);
        active_[count_++] = item;
        return true;
    }

    void leave(int64_t item) {
        const int64_t from = std::find(active_, active_ + count_, item) - active_;
        if (from == count_) {
            dormant_count_ = std::remove(dormant_, dormant_ + dormant_count_, item) - dormant_;
            return;
        }
        std::copy(active_ + from + 1, active_ + count_, active_ + from);
        rotations(from);
        kernels_.leave(columns_, list_.padded, from, count_--, cosine_, sine_, d2_);
        wake();
    }

    // The Givens rotations that leave the last column to the pick that had column `from`. Member t (of those that stay)
    // has no coordinate beyond t+1, and rotation t clears that one.
    void rotations(int64_t from) {
        for (int64_t t = from; t + 1 < count_; ++t) {
            double last = *columns_.at(active_[t], from);
            for (int64_t before = from; before < t; ++before)
                last = cosine_[before] * *columns_.at(active_[t], before + 1) - sine_[before] * last;
            const double next = *columns_.at(active_[t], t + 1), length = std::sqrt(last * last + next * next);
            cosine_[t] = last / length;
            sine_[t] = next / length;
        }
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
    hr::Items items_;
    hr::Columns columns_;
    double *base_, *d2_, *score_, *weight_, *cosine_, *sine_;
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
