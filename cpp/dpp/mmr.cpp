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
        ceiling_ = scratch.ceiling.take(list.padded_count());
        std::fill_n(ceiling_, list.padded_count(), hr::kNothing);
        seen_ = scratch.seen.take(list.count());
        later_ = scratch.later.take(list.count(), hr::kStages);
        stage_ = scratch.stage.take(window_ + 1);
        int64_t left = window_;
        for (int stage = 0; stage < hr::kStages; ++stage) {
            // The last stage counts on the newest pick alone.
            const int64_t share = window_ * (hr::kStages - stage) / (hr::kStages + 1);
            fade_.newest[stage] = stage + 1 < hr::kStages ? std::max<int64_t>(1, share) : 1;
            // Of several that hold, the first counts on the most picks.
            for (; left >= fade_.newest[stage]; --left) stage_[left] = stage;
        }
        applied_ = scratch.applied.take(list.count());
        vectors_ = scratch.vectors.take(steps, stride_);
        queries_ = scratch.queries.take(steps, list.batch->width);
        query_ = scratch.query.take(stride_ + steps);
        if (window_) columns_ = scratch.columns.take(list.padded, window_);
        const double reward = std::max(std::abs(list.highest), std::abs(list.lowest));
        // A product of the smallest numbers may vanish in float32.
        const double lost = 2e-45 * static_cast<double>(list.batch->width);
        apart_ = 2.0 * (list.delta * list.longest + lost) + 1e-13 * list.longest;
        relevance_ = {1.0 - theta, (1.0 - theta) * (list.delta * list.longest + lost) + 1e-14 * reward};
        // The first pick goes by the reward alone.
        std::copy_n(list.rewards, list.padded, base_);
        std::fill(base_ + list.n, base_ + list.padded, hr::kNothing);
        std::fill_n(applied_, list.count(), int64_t{0});
        // Without eviction the largest products are enough.
        if (!window_) {
            peaks_ = scratch.peaks.take(list.padded, 3);
            for (int64_t p = 0; p < list.count(); ++p) {
                std::fill_n(peaks(p).first, 2 * kPanel, -std::numeric_limits<float>::infinity());
                std::fill_n(peaks(p).row, kPanel, 0.0f);
            }
        }
        std::fill_n(ceiling_, list.count(), -hr::kNothing);
        std::fill_n(seen_, list.count(), -window_);
    }

    const double* ceilings() const { return ceiling_; }
    hr::Bounds bounds(int64_t p) const { return {lower_ + p * kPanel, upper_ + p * kPanel}; }

    double visit(int64_t p, double bar) {
        const double* base = base_ + p * kPanel;
        if (!added_) {
            std::copy_n(base, kPanel, lower_ + p * kPanel);
            std::copy_n(base, kPanel, upper_ + p * kPanel);
            return ceiling_[p] = *std::max_element(base, base + kPanel);
        }
        const int64_t width = list_.batch->width, from = applied_[p];
        const hr::Rows<float> rows{queries_, width};
        if (window_ && ceiling_[p] == -hr::kNothing && added_ - from > 1) {
            // Nothing is known of the panel any more: likeness to the newest pick alone may do.
            const double top = kernels_.touch(list_.panel(p), width, queries_ + (added_ - 1) * width, base, relevance_);
            if (top < bar) {
                seen_[p] = added_;
                std::fill_n(later_ + p * hr::kStages, hr::kStages, top);
                return ceiling_[p] = top;
            }
        }
        applied_[p] = added_;
        if (window_) {
            seen_[p] = added_;
            double* later = later_ + p * hr::kStages;
            const double top =
                kernels_.slide(list_.panel(p), width, rows, std::max(from, added_ - window_), added_, window_, base,
                               relevance_, columns_ + p * kPanel * window_, bounds(p), fade_, later);
            ceiling_[p] = later[0];
            return top;
        }
        return ceiling_[p] = kernels_.grow(from < added_ ? list_.panel(p) : nullptr, width, rows, from, added_, base,
                                           relevance_, peaks(p), bounds(p));
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
        kernels_.widen(vector, width, vectors_ + position * stride_);
        ++added_;
        if (added_ == 1) begin(slots[0]);
        if (!window_) return;
        // The more of the picks that a panel has seen leave the window, the fewer bound its scores.
        for (int64_t p = 0; p < list_.count(); ++p) {
            const int64_t left = seen_[p] + window_ - added_;  // of those that it has seen
            ceiling_[p] = left > 0 ? later_[p * hr::kStages + stage_[left]] : -hr::kNothing;
        }
    }

  private:
    // After the first pick likeness counts. The products with the top item are known already.
    void begin(int64_t pick) {
        for (int64_t slot = 0; slot < list_.n; ++slot)
            if (base_[slot] != hr::kNothing) base_[slot] = theta_ * list_.rewards[slot];
        std::fill_n(ceiling_, list_.count(), -hr::kNothing);
        if (window_ || list_.items[pick] != list_.top || !list_.products) return;
        for (int64_t p = 0; p < list_.count(); ++p) {
            float* first = peaks(p).first;
            for (int64_t lane = 0; lane < kPanel; ++lane) {
                const int64_t item = list_.items[p * kPanel + lane];
                first[lane] = item < list_.n ? list_.products[item] : 0.0f;
            }
            applied_[p] = 1;
            ceiling_[p] =
                kernels_.grow(nullptr, 0, {nullptr, 0}, 1, 1, base_ + p * kPanel, relevance_, peaks(p), bounds(p));
        }
    }

    hr::Peaks peaks(int64_t p) const {
        float* at = peaks_ + p * 3 * kPanel;
        return {at, at + kPanel, at + 2 * kPanel};
    }

    // The largest inner product with the window, in float64.
    double likeness(int64_t slot) {
        kernels_.widen(list_.vector(slot), list_.batch->width, query_);
        if (const int64_t pick = nearest(slot); pick >= 0) {
            double product;
            kernels_.products({vectors_ + pick * stride_, stride_}, 1, query_, &product);
            return product;
        }
        const int64_t held = window_ ? std::min(window_, added_) : added_;
        double* products = query_ + stride_;
        kernels_.products({vectors_ + (added_ - held) * stride_, stride_}, held, query_, products);
        return *std::max_element(products, products + held);
    }

    // The window's pick that a slot is most like, when float32 leaves no other as possible; else -1.
    int64_t nearest(int64_t slot) const {
        const int64_t p = slot / kPanel, lane = slot % kPanel;
        if (applied_[p] != added_) return -1;
        if (!window_) {
            const hr::Peaks its = peaks(p);
            const bool alone = static_cast<double>(its.first[lane]) - static_cast<double>(its.second[lane]) > apart_;
            return alone ? static_cast<int64_t>(its.row[lane]) : -1;
        }
        const float* column = columns_ + p * kPanel * window_ + lane;
        const float infinity = std::numeric_limits<float>::infinity();
        float first = -infinity, second = -infinity;
        int64_t pick = -1;
        for (int64_t t = std::max<int64_t>(0, added_ - window_); t < added_; ++t) {
            const float product = column[t % window_ * kPanel];
            second = std::max(second, std::min(product, first));
            if (product > first) first = product, pick = t;
        }
        return static_cast<double>(first) - static_cast<double>(second) > apart_ ? pick : -1;
    }

    const hr::List& list_;
    const hr::GreedyKernels& kernels_;
    const double theta_;
    const int64_t window_, stride_;
    hr::Relevance relevance_;
    double *base_, *lower_, *upper_, *ceiling_;
    double *vectors_, *query_;  // the picks' vectors; an item's, and its products with them
    float* queries_;            // the picks' vectors
    float* columns_ = nullptr;  // with a window: each item's products with them
    float* peaks_ = nullptr;    // without: its Peaks
    double apart_;              // products farther apart in float32 are so in float64
    int64_t *applied_, *seen_;  // of each panel: the picks that its columns or peaks have seen; those at its last visit
    hr::Fade fade_;
    int64_t* stage_;  // which of the later ceilings holds while so many picks are left
    double* later_;   // of each panel: its ceilings when so many of the picks are left
    int64_t added_ = 0;
};

}  // namespace

hr_status hr_mmr(const hr_lists* lists, int64_t k, double theta, int64_t window, int threads, const hr_picks* picks) {
    return hr::guarded([&] {
        hr::check_lists(lists, k, theta, window, picks);
        const auto use = window == 0 || window >= k ? hr::List::Use::kFirst : hr::List::Use::kProducts;
        hr::each_list(*lists, use, threads, [&](const hr::List& list, const auto& kernels, hr::Scratch& scratch) {
            Mmr objective(list, kernels, scratch, std::min(k, list.n), theta, window);
            hr::Loop<Mmr>(list, kernels, scratch, k, objective).run(*picks);
        });
    });
}
