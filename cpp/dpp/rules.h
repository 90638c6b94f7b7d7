// The rules of one list: which items may not come next, given the picks so far.
#pragma once

#include "dpp/greedy.h"

namespace hr {

class Rules {
  public:
    Rules(const List& list, const GreedyKernels& kernels, int64_t steps, Scratch& scratch);
    int64_t count() const { return count_; }
    // From here on the first `kept` rules hold. Returns whether one forbids anything.
    bool hold(int64_t kept);
    // The lanes of a panel that a rule that holds forbids.
    uint32_t forbidden(int64_t panel) const;
    // After the pick of slots[position]: what the rules say about the next position.
    void add(const int64_t* slots, int64_t position);

  private:
    struct Rule {
        int64_t span, most;
        bool prefix;
        const int32_t* kinds;     // of each slot
        int32_t *present, *many;  // kinds among the last span - 1 picks, and how many of each
        int32_t* blocked;         // those that stand as often as they may
        int64_t *presents, *blocks;
    };
    // A rule that forbids something at this position: all kinds, or those that stand as often as they may.
    struct Active {
        const int32_t *kinds, *blocked;
        int64_t blocks;
        bool all;
    };
    Rule rule(int64_t r) const;
    void shift(const Rule& rule, int32_t kind, int32_t by);

    const List& list_;
    const GreedyKernels& kernels_;
    const int64_t count_, room_;
    int64_t position_ = 0;  // of the next pick
    int32_t *kinds_ = nullptr, *present_ = nullptr, *many_ = nullptr, *blocked_ = nullptr;
    int64_t* lengths_ = nullptr;
    Active* active_ = nullptr;
    int64_t actives_ = 0;
};

}  // namespace hr
