#include "co_occurrence/by_item.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "core/checks.h"

namespace hr {

namespace {

constexpr int64_t kMostEntries = std::numeric_limits<uint32_t>::max();
constexpr int64_t kMostItems = std::numeric_limits<int32_t>::max();
constexpr int kDropped = 13;

void check(const hr_likes& likes) {
    check_size("users", likes.users, 0, kMostEntries);
    check_size("entries", likes.entries, 0, kMostEntries);
    check_size("items", likes.items, 0, kMostItems);
    check_offsets(likes.offsets, likes.users, likes.entries);
    check_pointer("item", likes.item, likes.entries > 0);
    check_indices("item", likes.item, likes.entries, likes.items);
}

}  // namespace

ByItem by_item(const hr_likes& likes) {
    check(likes);
    ByItem by;
    std::vector<int64_t> fans(likes.items, 0);
    for (int64_t e = 0; e < likes.entries; ++e) ++fans[likes.item[e]];
    by.item.resize(likes.items);
    std::iota(by.item.begin(), by.item.end(), int64_t{0});
    std::stable_sort(by.item.begin(), by.item.end(), [&](int64_t a, int64_t b) { return fans[a] > fans[b]; });
    std::vector<uint32_t> label_of(likes.items);
    by.start.assign(likes.items + 1, 0);
    for (int64_t l = 0; l < likes.items; ++l) {
        label_of[by.item[l]] = static_cast<uint32_t>(l);
        by.start[l + 1] = by.start[l] + fans[by.item[l]];
    }
    by.label.resize(likes.entries);
    by.user.resize(likes.entries);
    by.entry.resize(likes.entries);
    std::vector<int64_t> next(by.start.begin(), by.start.end() - 1);
    for (int64_t u = 0; u < likes.users; ++u)
        for (int64_t e = likes.offsets[u]; e < likes.offsets[u + 1]; ++e) {
            const uint32_t label = label_of[likes.item[e]];
            const int64_t at = next[label]++;
            if (at > by.start[label] && by.user[at - 1] == static_cast<uint32_t>(u))
                bad("item: expected each once in a user, got " + std::to_string(likes.item[e]) + " twice in user " +
                    std::to_string(u));
            by.label[e] = label;
            by.user[at] = static_cast<uint32_t>(u);
            by.entry[at] = static_cast<uint32_t>(e);
        }
    return by;
}

double rounded(double key) {
    uint64_t bits = std::bit_cast<uint64_t>(key);
    bits += (uint64_t{1} << (kDropped - 1)) - 1 + (bits >> kDropped & 1);
    return std::bit_cast<double>(bits >> kDropped << kDropped);
}

void Best::clear(int64_t k) {
    pairs_.clear();
    k_ = static_cast<size_t>(k);
    room_ = 2 * k_ + 64;
    least_ = gate_ = std::numeric_limits<double>::denorm_min();
}

void Best::cut() {
    std::nth_element(pairs_.begin(), pairs_.begin() + static_cast<int64_t>(k_ - 1), pairs_.end(), before);
    pairs_.resize(k_);
    least_ = pairs_[k_ - 1].key;
    gate_ = least_ * (1 - 0x1p-39);
}

int64_t Best::take(bool roots, double factor, int64_t* item, float* score) {
    if (pairs_.size() > k_) cut();
    std::sort(pairs_.begin(), pairs_.end(), before);
    for (size_t p = 0; p < pairs_.size(); ++p) {
        item[p] = pairs_[p].item;
        score[p] = static_cast<float>(roots ? std::sqrt(pairs_[p].key) : factor * pairs_[p].key);
    }
    return static_cast<int64_t>(pairs_.size());
}

void close_gaps(const std::vector<int64_t>& found, int64_t room, int64_t* offsets, int64_t* item, float* score) {
    offsets[0] = 0;
    for (size_t i = 0; i < found.size(); ++i) {
        const int64_t from = static_cast<int64_t>(i) * room, to = offsets[i];
        offsets[i + 1] = to + found[i];
        if (from == to) continue;
        std::copy_n(item + from, found[i], item + to);
        std::copy_n(score + from, found[i], score + to);
    }
}

}  // namespace hr
