// The greedy loop of one list.
#pragma once

#include <algorithm>
#include <bit>
#include <limits>

#include "dpp/rules.h"

namespace hr {

// Picks min(k, n) items of one list. Objective: ceilings() of the panels, -infinity
// up to padded_count(); visit(panel, bar), which brings its bounds up to date and
// returns the largest, or anything below the bar when none reaches it; bounds(panel); exact(slot), its score;
// take(slot), log_distance(slot), gain(slot, its log distance), add(slots, position).
template <class Objective>
class Loop {
  public:
    Loop(const List& list, const GreedyKernels& kernels, Scratch& scratch, int64_t k, Objective& objective)
        : list_(list),
          kernels_(kernels),
          objective_(objective),
          k_(k),
          steps_(std::min(k, list.n)),
          rules_(list, kernels, steps_, scratch),
          pins_(pinned_slots(list, k, scratch)),
          slots_(scratch.history.take(k)),
          visited_(scratch.visited.take(list.count())),
          masks_(scratch.masks.take(list.count())),
          guesses_(scratch.guesses.take(list.padded_count())) {
        std::copy_n(objective.ceilings(), list.padded_count(), guesses_);
    }

    void run(const hr_picks& picks) {
        int64_t* picked = picks.picked + list_.request * k_;
        float* gain = picks.gain + list_.request * k_;
        float* path = picks.logdet ? picks.logdet + list_.request * k_ : nullptr;
        double logdet = 0.0;
        for (int64_t t = 0; pins_ && t < steps_; ++t)
            if (pins_[t] >= 0) objective_.take(pins_[t]);
        for (int64_t t = 0; t < steps_; ++t) {
            const int64_t slot = pins_ && pins_[t] >= 0 ? pin(pins_[t]) : choose();
            slots_[t] = slot;
            picked[t] = list_.items[slot];
            const double step = objective_.log_distance(slot);
            constexpr double kMost = std::numeric_limits<float>::max();
            // Infinite gains are those of places that nothing fills.
            gain[t] = static_cast<float>(std::clamp(objective_.gain(slot, step), -kMost, kMost));
            if (path) path[t] = static_cast<float>(logdet += step);
            if (t + 1 == steps_) break;
            objective_.take(slot);
            objective_.add(slots_, t);
            rules_.add(slots_, t);
        }
        std::fill(picked + steps_, picked + k_, int64_t{-1});
        std::fill(gain + steps_, gain + k_, -std::numeric_limits<float>::infinity());
        if (path) std::fill(path + steps_, path + k_, -std::numeric_limits<float>::infinity());
        if (picks.ruled) picks.ruled[list_.request * 2] = relaxed_, picks.ruled[list_.request * 2 + 1] = overruled_;
    }

  private:
    int64_t pin(int64_t slot) {
        if (rules_.hold(rules_.count())) relaxed_ += rules_.forbidden(slot / kPanel) >> (slot % kPanel) & 1u;
        return slot;
    }

    // Relaxes from the last rule on when all of them leave nothing.
    int64_t choose() {
        int64_t kept = rules_.count();
        Choice any;
        Choice best = search(kept, any);
        relaxed_ += best.slot < 0;
        while (best.slot < 0) {
            Choice again;
            best = search(--kept, again);
        }
        overruled_ += best.slot != any.slot;
        return best.slot;
    }

    // The best that the first `kept` rules allow, and the best of all.
    Choice search(int64_t kept, Choice& any) {
        const bool ruled = rules_.hold(kept);
        Bars bars;
        visits_ = 0;
        const double* ceilings = objective_.ceilings();
        const int64_t first = kernels_.highest(guesses_, list_.padded_count());
        look(first, ruled, bars);
        for (int64_t from = 0; from < list_.count(); from += kPanel)
            for (uint32_t some = kernels_.reach(ceilings + from, bars.allowed); some; some &= some - 1) {
                const int64_t p = from + std::countr_zero(some);
                if (ceilings[p] >= bars.allowed && p != first && ceilings[p] > kNothing) look(p, ruled, bars);
            }
        const Choice best = settle(masks_, bars.allowed);
        any = ruled ? settle(nullptr, bars.any) : best;
        return best;
    }

    // What the best score is at least.
    struct Bars {
        double any = kNothing, allowed = kNothing;
    };
    static constexpr uint32_t kAll = (1u << kPanel) - 1u;

    void look(int64_t p, bool ruled, Bars& bars) {
        const double top = objective_.visit(p, bars.allowed);
        guesses_[p] = top;
        if (top < bars.allowed || top == kNothing) return;
        const uint32_t allowed = ruled ? kAll & ~rules_.forbidden(p) : kAll;
        visited_[visits_] = p;
        masks_[visits_++] = allowed;
        const double* lower = objective_.bounds(p).lower;
        bars.any = std::max(bars.any, kernels_.largest(lower, kAll));
        bars.allowed = ruled ? std::max(bars.allowed, kernels_.largest(lower, allowed)) : bars.any;
    }

    // The best of the slots that may reach the bar, of those in `masks` where not null.
    Choice settle(const uint32_t* masks, double bar) {
        Choice best;
        if (bar == kNothing) return best;
        bool alone = true;
        for (int64_t i = 0; i < visits_; ++i) {
            const int64_t p = visited_[i];
            uint32_t lanes = kernels_.reach(objective_.bounds(p).upper, bar);
            if (masks) lanes &= masks[i];
            for (; lanes; lanes &= lanes - 1) {
                const int64_t slot = p * kPanel + std::countr_zero(lanes);
                if (best.slot >= 0 && alone) {
                    best.score = objective_.exact(best.slot);
                    alone = false;
                }
                best.offer(slot, list_.items[slot], alone ? 0.0 : objective_.exact(slot));
            }
        }
        return best;
    }

    const List& list_;
    const GreedyKernels& kernels_;
    Objective& objective_;
    const int64_t k_, steps_;
    Rules rules_;
    const int64_t* pins_;
    int64_t *slots_, *visited_;  // the picks so far; the panels that may hold the next one
    uint32_t* masks_;            // of each panel visited: the lanes that the rules allow
    double* guesses_;            // of each panel: its best score when it was last visited, to begin with the best
    int64_t visits_ = 0;
    int64_t relaxed_ = 0, overruled_ = 0;
};

// Runs body(list, kernels, scratch) for every list of the batch on the pool's threads. use: see List.
template <class Body>
void each_list(const hr_lists& lists, List::Use use, int threads, Body&& body) {
    const GreedyKernels& kernels = greedy_kernels();
    parallel_for(lists.batch, resolve_threads(threads), [&](int64_t request, int) {
        thread_local Scratch scratch;
        const List list(lists, request, use, kernels, scratch);
        body(list, kernels, scratch);
    });
}

}  // namespace hr
