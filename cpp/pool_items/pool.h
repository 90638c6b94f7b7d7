// Distinct items and the sums of what their entries are worth, for every op that pools items.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace hr {

// The distinct items of one request, in the order they first came, in memory that is kept from request to request.
class ItemPool {
  public:
    void clear(int64_t entries) {
        int bits = 4;
        while ((int64_t{1} << bits) < 2 * entries) ++bits;
        shift_ = 64 - bits;
        mask_ = (uint64_t{1} << bits) - 1;
        if (slots_.size() <= mask_) slots_.resize(mask_ + 1);
        std::fill_n(slots_.begin(), mask_ + 1, 0u);
        if (static_cast<int64_t>(groups_.size()) < entries) groups_.resize(entries);
        size_ = 0;
    }
    // True when the list has given the item before.
    bool add(int64_t item, double worth, int64_t bit) {
        // A slot holds half of the item above its place + 1, so that another item's slot is passed without a look.
        const uint64_t half = static_cast<uint64_t>(item) << 32;
        uint64_t at = static_cast<uint64_t>(item) * 0x9E3779B97F4A7C15u >> shift_;
        for (uint64_t slot; (slot = slots_[at]) != 0; at = (at + 1) & mask_) {
            Group& group = groups_[(slot & 0xFFFFFFFFu) - 1];
            if ((slot ^ half) >> 32 || group.item != item) continue;
            const bool again = group.lists & bit;
            group.sum += worth;
            group.lists |= bit;
            return again;
        }
        groups_[size_++] = {item, worth, bit};
        slots_[at] = half | static_cast<uint64_t>(size_);
        return false;
    }
    // Writes the k highest sums as float32, best first, ties to the lower item, and, where wanted, the lists of each;
    // returns how many there are, or -1 when a sum is NaN.
    int64_t best(int64_t k, int64_t* item, float* score, int64_t* lists);
    // Where `best` wrote an item that was added, or -1 where it left it out.
    int64_t place_of(int64_t item) const {
        const uint64_t half = static_cast<uint64_t>(item) << 32;
        uint64_t at = static_cast<uint64_t>(item) * 0x9E3779B97F4A7C15u >> shift_;
        for (uint64_t slot; (slot = slots_[at]) != 0; at = (at + 1) & mask_) {
            const int64_t group = static_cast<int64_t>(slot & 0xFFFFFFFFu) - 1;
            if ((slot ^ half) >> 32 == 0 && groups_[group].item == item) return place_[group];
        }
        return -1;
    }

  private:
    struct Group {
        int64_t item;
        double sum;
        int64_t lists;
    };

    std::vector<uint64_t> slots_;
    uint64_t mask_ = 0;
    int shift_ = 60;
    std::vector<Group> groups_;
    int64_t size_ = 0;
    std::vector<int32_t> place_;
    std::vector<float> rounded_;
    std::vector<int64_t> tie_;
};

// This thread's own.
ItemPool& thread_item_pool();

}  // namespace hr
