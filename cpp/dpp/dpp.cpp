// Greedy MAP of a DPP (Chen, Zhang, Zhou, NeurIPS 2018). d2 is an item's squared distance from the window's span:
// |item|^2 less its squared coordinates on an orthonormal basis.
#include "dpp/dpp.h"

#include <cmath>
#include <stdexcept>
#include <string>

#include "core/status.h"
#include "dpp/basis.h"
#include "dpp/loop.h"

namespace {

using hr::kPanel;

// Ceilings stay above what rounding may add to a score.
constexpr double kSlack = 1e-9;
constexpr double kZeros[kPanel] = {};

class Dpp {
  public:
    Dpp(const hr::List& list, const hr::GreedyKernels& kernels, hr::Scratch& scratch, int64_t steps, double theta,
        int64_t window, double eps)
        : list_(list),
          kernels_(kernels),
          theta_(theta),
          window_(window < steps ? window : 0),
          basis_(kernels, list.batch->width, steps, window_, scratch) {
        base_ = scratch.base.take(list.padded);
        d2_ = scratch.d2.take(list.padded);
        drift_ = scratch.drift.take(list.padded);
        lower_ = scratch.lower.take(list.padded);
        upper_ = scratch.upper.take(list.padded);
        ceiling_ = scratch.ceiling.take(list.padded_count());
        std::fill_n(ceiling_, list.padded_count(), hr::kNothing);
        applied_ = scratch.applied.take(list.count());
        epoch_ = scratch.epoch.take(list.count());
        dormant_ = scratch.dormant.take(steps);
        // theta r + (1 - theta) log d2 grows with exp(theta / (1 - theta) r) d2, which needs no logarithm; r is taken
        // from the highest reward on, so that it never overflows.
        const double steep = theta < 1.0 ? theta / (1.0 - theta) : std::numeric_limits<double>::infinity();
        scoring_ = {steep * (list.highest - list.lowest) < 600.0, 1.0 - theta, eps, list.delta};
        if (scoring_.product)
            kernels.exponentials(list.rewards, list.padded, steep, list.highest, base_);
        else
            for (int64_t slot = 0; slot < list.padded; ++slot) base_[slot] = theta * list.rewards[slot];
        std::fill(base_ + list.n, base_ + list.padded, hr::kNothing);
        std::fill_n(applied_, list.count(), int64_t{0});
        std::fill_n(epoch_, list.count(), int64_t{-1});
        for (int64_t p = 0; p < list.count(); ++p) lift(p);
    }

    const double* ceilings() const { return ceiling_; }
    hr::Bounds bounds(int64_t p) const { return {lower_ + p * kPanel, upper_ + p * kPanel}; }

    double visit(int64_t p, double) {
        const double* base = base_ + p * kPanel;
        double top;
        if (basis_.full()) {
            top = kernels_.bound(base, kZeros, kZeros, kZeros, 0, scoring_, bounds(p));
        } else {
            catch_up(p);
            top = kernels_.bound(base, d2_ + p * kPanel, drift_ + p * kPanel, list_.norms(p), applied_[p], scoring_,
                                 bounds(p));
        }
        if (!window_) ceiling_[p] = above(top);
        return top;
    }

    // In float64. An item that needed it once starts from there.
    double exact(int64_t slot) {
        const double d2 = distance(slot), rest = std::max(d2, scoring_.eps);
        if (!basis_.full()) d2_[slot] = d2, drift_[slot] = 0.0;
        return scoring_.product ? base_[slot] * rest : base_[slot] + scoring_.weight * kernels_.logarithm(rest);
    }

    void take(int64_t slot) {
        base_[slot] = hr::kNothing;
        if (window_) lift(slot / kPanel);
    }

    double log_distance(int64_t slot) { return kernels_.logarithm(std::max(distance(slot), scoring_.eps)); }
    double gain(int64_t slot, double log_distance) const {
        return theta_ * list_.rewards[slot] + (1.0 - theta_) * log_distance;
    }

    void add(const int64_t* slots, int64_t position) {
        if (window_ && position >= window_) leave(slots, position);
        enter(slots[position]);
    }

  private:
    double above(double score) const {
        return scoring_.product ? score * (1.0 + kSlack) : score + kSlack * (1.0 + std::abs(score));
    }

    // Without picks in the window no item is farther from its span.
    void lift(int64_t p) {
        double lower[kPanel], upper[kPanel];
        ceiling_[p] = above(
            kernels_.bound(base_ + p * kPanel, list_.most_squares(p), kZeros, kZeros, 0, scoring_, {lower, upper}));
    }

    void catch_up(int64_t p) {
        double *d2 = d2_ + p * kPanel, *drift = drift_ + p * kPanel;
        if (epoch_[p] != basis_.epoch()) {
            std::copy_n(list_.squares(p), kPanel, d2);
            std::fill_n(drift, kPanel, 0.0);
            epoch_[p] = basis_.epoch();
            applied_[p] = 0;
        }
        if (applied_[p] == basis_.moves()) return;
        kernels_.move(list_.panel(p), list_.batch->width, basis_.rows(), basis_.signs(), applied_[p], basis_.moves(),
                      d2, drift);
        applied_[p] = basis_.moves();
    }

    double square(int64_t slot) const { return list_.squares(slot / kPanel)[slot % kPanel]; }
    double distance(int64_t slot) { return basis_.distance(list_.vector(slot), square(slot), slot); }

    // The pick at `position` - window leaves. A pick that depended on it may then have a direction of its own, before
    // later picks have theirs: so the basis is built anew when there is one.
    void leave(const int64_t* slots, int64_t position) {
        const int64_t slot = slots[position - window_];
        int64_t* end = std::remove(dormant_, dormant_ + dormant_count_, slot);
        if (end != dormant_ + dormant_count_) {
            --dormant_count_;
        } else if (dormant_count_ == 0) {
            basis_.leave(slot);
        } else {
            basis_.clear();
            dormant_count_ = 0;
            for (int64_t t = position - window_ + 1; t < position; ++t) enter(slots[t]);
        }
    }

    // Adds the pick's direction, unless the window's span holds it already.
    void enter(int64_t slot) {
        if (distance(slot) > scoring_.eps)
            basis_.join(list_.vector(slot), square(slot), slot);
        else if (window_)
            dormant_[dormant_count_++] = slot;
    }

    const hr::List& list_;
    const hr::GreedyKernels& kernels_;
    const double theta_;
    const int64_t window_;
    hr::Basis basis_;
    hr::Scoring scoring_;
    double *base_, *d2_, *drift_;  // d2 as the moves give it, and the sum of their coordinates' sizes
    double *lower_, *upper_, *ceiling_;
    int64_t *applied_, *epoch_;  // of each panel: the moves that its d2 has seen
    int64_t* dormant_;           // the window's picks without a direction of their own
    int64_t dormant_count_ = 0;
};

}  // namespace

hr_status hr_dpp(const hr_lists* lists, int64_t k, double theta, int64_t window, double eps, int threads,
                 const hr_picks* picks) {
    return hr::guarded([&] {
        hr::check_lists(lists, k, theta, window, picks);
        if (!(eps >= 1e-12 && std::isfinite(eps)))
            throw std::invalid_argument("eps: expected a finite number of at least 1e-12, got " + std::to_string(eps));
        hr::each_list(*lists, hr::List::Use::kSquares, threads,
                      [&](const hr::List& list, const auto& kernels, hr::Scratch& scratch) {
                          Dpp objective(list, kernels, scratch, std::min(k, list.n), theta, window, eps);
                          hr::Loop<Dpp>(list, kernels, scratch, k, objective).run(*picks);
                      });
    });
}
