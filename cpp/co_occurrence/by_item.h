// Likes turned round, and the best of each item: what the ops over likes share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "co_occurrence/co_occurrence.h"

namespace hr {

// Items have labels here, from the most liked on: what most entries name lies together, in the nearest cache.
struct ByItem {
    std::vector<int64_t> item;    // [items], of each label; ties to the lower item
    std::vector<uint32_t> label;  // [entries], in the order of the likes
    std::vector<int64_t> start;   // [items + 1], where each label's users and entries begin
    std::vector<uint32_t> user;   // [entries], rising in each label
    std::vector<uint32_t> entry;  // [entries], the place among the likes
};

// Throws std::invalid_argument for likes that are none.
ByItem by_item(const hr_likes& likes);

// The k highest keys above 0 of one item, ties to the lower item.
class Best {
  public:
    void clear(int64_t k);
    // Keys below this one cannot be among the best, however they are rounded.
    double gate() const { return gate_; }
    void add(double key, int64_t item) {
        if (!(key >= least_)) return;
        if (pairs_.size() == room_) cut();
        pairs_.push_back({key, item});
    }
    // Writes the best, whose scores are the keys, or their roots; returns how many there are.
    int64_t take(bool roots, double factor, int64_t* item, float* score);

  private:
    struct Pair {
        double key;
        int64_t item;
    };
    static bool before(const Pair& a, const Pair& b) { return a.key != b.key ? a.key > b.key : a.item < b.item; }
    void cut();

    std::vector<Pair> pairs_;
    size_t k_ = 0, room_ = 0;
    double least_ = 0, gate_ = 0;
};

// To 40 of the 53 bits of the mantissa, to the nearest, ties to even.
double rounded(double key);

// What each item found lies at item * room; closes the gaps. found: [items].
void close_gaps(const std::vector<int64_t>& found, int64_t room, int64_t* offsets, int64_t* item, float* score);

}  // namespace hr
