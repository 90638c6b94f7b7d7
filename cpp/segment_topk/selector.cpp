#include "segment_topk/selector.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace {

constexpr int kDigitBits = 8, kDigits = 4, kBuckets = 1 << kDigitBits;
constexpr int64_t kFewKeys = 48;      // below this, comparing beats counting
constexpr int64_t kSelectFactor = 6;  // a list this many times k is first cut down to about k

// Rises as the score falls; -0 and 0 are one.
uint32_t falling(float score) {
    const auto bits = std::bit_cast<uint32_t>(score + 0.0f);
    return bits & 0x80000000u ? bits : ~bits & 0x7FFFFFFFu;
}

uint32_t rank_of(uint64_t key) { return static_cast<uint32_t>(key >> 32); }

}  // namespace

void hr::Selector::reserve(int64_t n) {
    if (room_ > 0 && n <= room_) return;
    const int64_t room = std::max<int64_t>({n, room_ * 2, 1});
    keys_ = std::make_unique_for_overwrite<uint64_t[]>(room);
    spare_ = std::make_unique_for_overwrite<uint64_t[]>(room);
    order_ = std::make_unique_for_overwrite<uint32_t[]>(room);
    room_ = room;
}

// Least significant digit first, over the score alone: positions start in order and stay so among equals.
uint64_t* hr::Selector::sort(int64_t n) {
    uint64_t *from = keys_.get(), *to = spare_.get();
    if (n < kFewKeys) {
        std::sort(from, from + n);
        return from;
    }
    uint32_t count[kDigits][kBuckets] = {};
    for (int64_t i = 0; i < n; ++i)
        for (int d = 0; d < kDigits; ++d) ++count[d][from[i] >> (32 + d * kDigitBits) & (kBuckets - 1)];
    for (int d = 0; d < kDigits; ++d) {
        const int shift = 32 + d * kDigitBits;
        if (count[d][from[0] >> shift & (kBuckets - 1)] == static_cast<uint32_t>(n)) continue;
        uint32_t start = 0;
        for (uint32_t& bucket : count[d]) start += std::exchange(bucket, start);
        for (int64_t i = 0; i < n; ++i) to[count[d][from[i] >> shift & (kBuckets - 1)]++] = from[i];
        std::swap(from, to);
    }
    return from;
}

const uint32_t* hr::Selector::top(const float* score, const int64_t* tie, int64_t n, int64_t k) {
    reserve(n);
    bool nan = false;
    for (int64_t i = 0; i < n; ++i) {
        nan |= score[i] != score[i];
        keys_[i] = uint64_t{falling(score[i])} << 32 | static_cast<uint32_t>(i);
    }
    if (nan) return nullptr;
    if (n / kSelectFactor > k) {
        std::nth_element(keys_.get(), keys_.get() + k, keys_.get() + n);
        // All that equal the last one stay: the tie decides among them. Positions must be in order again.
        const uint32_t last = rank_of(*std::max_element(keys_.get(), keys_.get() + k));
        int64_t kept = 0;
        for (int64_t i = 0; i < n; ++i)
            if (const uint32_t rank = falling(score[i]); rank <= last)
                keys_[kept++] = uint64_t{rank} << 32 | static_cast<uint32_t>(i);
        n = kept;
    }
    uint64_t* keys = sort(n);
    for (int64_t i = 0; i < n; ++i) order_[i] = static_cast<uint32_t>(keys[i]);
    for (int64_t first = 0; first < std::min(k, n);) {
        int64_t end = first + 1;
        bool rises = true;
        for (; end < n && rank_of(keys[end]) == rank_of(keys[first]); ++end)
            rises &= tie[order_[end - 1]] <= tie[order_[end]];
        if (!rises)
            std::sort(order_.get() + first, order_.get() + end,
                      [tie](uint32_t a, uint32_t b) { return tie[a] != tie[b] ? tie[a] < tie[b] : a < b; });
        first = end;
    }
    return order_.get();
}

hr::Selector& hr::thread_selector() {
    thread_local Selector selector;
    return selector;
}
