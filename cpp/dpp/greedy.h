// What the greedy loops of DPP and MMR share: scratch memory, one list of the batch in panels, and the loop itself.
//
// The loop is lazy. A panel has a ceiling that no score of its items can exceed, and is brought up to date only when
// its ceiling reaches the best score found so far. Scores are then bounded in float32, and float64 decides among those
// that the bounds leave: the picks are those of a loop over all items in float64.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "core/pool.h"
#include "dpp/dpp.h"
#include "dpp/kernels.h"
#include "dpp/scratch.h"

namespace hr {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

// One list of the batch, packed. Slots hold its items roughly in order of falling reward, so that few panels matter.
struct List {
    const hr_lists* batch;
    int64_t request, first, n, padded;
    const float* panels = nullptr;       // [padded / 16][width][16]
    const double* squares = nullptr;     // [padded], <item, item>
    const double* norms = nullptr;       // their roots
    const double* rewards = nullptr;     // [padded], of each slot; 0 in the padding
    const int64_t* items = nullptr;      // [padded], which item has the slot; n and above in the padding
    double highest = 0.0, lowest = 0.0;  // rewards
    double longest = 0.0;                // the largest square
    double delta = 0.0;                  // a product taken in float32 is known to delta * |item| * |row|

    int64_t count() const { return padded / kPanel; }
    const float* panel(int64_t p) const { return panels + p * kPanel * batch->width; }
    const float* vector(int64_t slot) const { return batch->vectors + (first + items[slot]) * batch->width; }
};

inline int64_t blocks(int64_t n) { return (n + kBlock - 1) / kBlock * kBlock; }

// Throws std::invalid_argument for what both calls have in common.
void check_lists(const hr_lists* lists, int64_t k, double theta, int64_t window, const hr_picks* picks);

const GreedyKernels& greedy_kernels();

// Packs the list. Throws when a vector or reward is not finite.
void load(List& list, const GreedyKernels& kernels, Scratch& scratch);

// The slot pinned to each position, -1 where the pick is free; null without pins. Throws when they contradict.
const int64_t* pinned_slots(const List& list, int64_t k, Scratch& scratch);

// The best slot so far; ties go to the lower item.
struct Choice {
    int64_t slot = -1, item = -1;
    double score = kNothing;

    void offer(int64_t at, int64_t its, double value) {
        if (slot < 0 || value > score || (value == score && its < item)) *this = {at, its, value};
    }
};

}  // namespace hr
