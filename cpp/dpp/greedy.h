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

inline int64_t blocks(int64_t n) { return (n + kBlock - 1) / kBlock * kBlock; }

// One list of the batch. Slots hold its items roughly in order of falling reward, so that few panels matter; a panel is
// packed when it is needed first.
class List {
  public:
    // Reads the list once. kFirst: also takes its products with the first item of the highest reward; kSquares: is
    // asked for squares and norms later. Throws std::invalid_argument when a vector or reward is not finite.
    enum class Use { kSquares, kFirst, kProducts };
    List(const hr_lists& lists, int64_t request, Use use, const GreedyKernels& kernels, Scratch& scratch);

    const hr_lists* batch;
    int64_t request, first, n, padded;
    const double* rewards = nullptr;     // [padded], of each slot; 0 in the padding
    const int64_t* items = nullptr;      // [padded], which item has the slot; n and above in the padding
    const float* products = nullptr;     // [n], of each item with item `top`, in float32; or null
    int64_t top = 0;                     // the first item of the highest reward
    double highest = 0.0, lowest = 0.0;  // rewards
    double longest = 0.0;                // at least the largest square
    double delta = 0.0;                  // a product taken in float32 is known to delta * |item| * |row|

    int64_t count() const { return padded / kPanel; }
    // Length of arrays over panels, filled up with kNothing.
    int64_t padded_count() const { return (count() + kPanel - 1) / kPanel * kPanel; }
    const float* vector(int64_t slot) const { return batch->vectors + (first + items[slot]) * batch->width; }

    // What a panel holds, packed now if it was not yet: [width][16] float32, and of each item <item, item> and its
    // root.
    const float* panel(int64_t p) const {
        pack(p);
        return panels_ + p * kPanel * batch->width;
    }
    const double* squares(int64_t p) const {
        pack(p);
        return squares_ + p * kPanel;
    }
    const double* norms(int64_t p) const {
        pack(p);
        return norms_ + p * kPanel;
    }
    // At least <item, item>, without packing.
    const double* most_squares(int64_t p) const { return squares_ + p * kPanel; }

  private:
    void pack(int64_t p) const {
        if (!packed_[p]) pack_now(p);
    }
    void pack_now(int64_t p) const;
    void scan(const float* probe, Scratch& scratch);
    void scan_again();

    const GreedyKernels& kernels_;
    const bool squared_;
    bool blank_ = false;  // products may overflow, and are taken as 0
    float *panels_, *nothing_;
    double *squares_, *norms_;
    uint8_t* packed_;
};

// Throws std::invalid_argument for what both calls have in common.
void check_lists(const hr_lists* lists, int64_t k, double theta, int64_t window, const hr_picks* picks);

const GreedyKernels& greedy_kernels();

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
