// The greedy loop of one list.
#pragma once

#include "dpp/rules.h"

namespace hr {

// Picks min(k, n) items of one list. Objective: ceiling(panel), visit(panel) -> the panel's largest score, brought up
// to date; scores(panel), take(slot), gain(slot), log_distance(slot), add(slots, position).
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
          slots_(scratch.history.take(k)) {}

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
            gain[t] = static_cast<float>(objective_.gain(slot));
            if (path) path[t] = static_cast<float>(logdet += objective_.log_distance(slot));
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
        objective_.visit(slot / kPanel);
        relaxed_ += rules_.forbidden(slot / kPanel, rules_.count()) >> (slot % kPanel) & 1u;
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
        const bool bound = rules_.bind(kept);
        Choice allowed;
        int64_t first = 0;
        for (int64_t p = 1; p < list_.count(); ++p)
            if (objective_.ceiling(p) > objective_.ceiling(first)) first = p;
        look(first, bound ? kept : 0, any, allowed);
        for (int64_t p = 0; p < list_.count(); ++p) {
            const double ceiling = objective_.ceiling(p);
            if (p != first && ceiling >= allowed.score && ceiling > kNothing) look(p, bound ? kept : 0, any, allowed);
        }
        return allowed;
    }

    void look(int64_t p, int64_t kept, Choice& any, Choice& allowed) {
        constexpr uint32_t kAll = (1u << kPanel) - 1u;
        const double top = objective_.visit(p);
        if (top < allowed.score || top == kNothing) return;
        const double* scores = objective_.scores(p);
        double value = top;
        if (top >= any.score) any.offer(list_, p * kPanel, kernels_.best(scores, kAll, &value), top);
        const uint32_t forbidden = kept ? rules_.forbidden(p, kept) : 0u;
        if (!kept)
            allowed = any;
        else if (const uint32_t lanes = kernels_.best(scores, kAll & ~forbidden, &value))
            allowed.offer(list_, p * kPanel, lanes, value);
    }

    const List& list_;
    const GreedyKernels& kernels_;
    Objective& objective_;
    const int64_t k_, steps_;
    Rules rules_;
    const int64_t* pins_;
    int64_t* slots_;
    int64_t relaxed_ = 0, overruled_ = 0;
};

// Runs body(list, kernels, scratch) for every list of the batch, packed, on the pool's threads.
template <class Body>
void each_list(const hr_lists& lists, int threads, Body&& body) {
    const GreedyKernels& kernels = greedy_kernels();
    parallel_for(lists.batch, resolve_threads(threads), [&](int64_t request, int) {
        thread_local Scratch scratch;
        const int64_t first = lists.offsets[request], n = lists.offsets[request + 1] - first;
        List list{&lists, request, first, n, (n + kPanel - 1) / kPanel * kPanel};
        load(list, kernels, scratch);
        body(list, kernels, scratch);
    });
}

}  // namespace hr
