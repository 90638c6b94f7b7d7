#include "dpp/greedy.h"

#include <cmath>
#include <stdexcept>
#include <string>

#include "core/checks.h"
#include "core/dispatch.h"

namespace {

using hr::bad;

void at_least(const char* name, int64_t value, int64_t least) {
    if (value < least)
        bad(std::string(name) + ": expected at least " + std::to_string(least) + ", got " + std::to_string(value));
}

void check_rules(const hr_lists& lists) {
    if (lists.rules < 0 || lists.rules > 31) bad("rules: expected 0 to 31, got " + std::to_string(lists.rules));
    if (lists.rules && (!lists.limits || (lists.items && !lists.kinds)))
        bad("rules: expected kinds and limits, got null");
    for (int64_t r = 0; r < lists.rules; ++r) {
        const int64_t* limit = lists.limits + r * 3;
        at_least("rules: span", limit[0], 1);
        at_least("rules: most", limit[1], 0);
        if (limit[2] != 0 && limit[2] != 1) bad("rules: prefix: expected 0 or 1, got " + std::to_string(limit[2]));
    }
}

void not_finite(const char* name, const hr::List& list) {
    bad(std::string(name) + ": expected finite numbers, got NaN or infinity in list " + std::to_string(list.request));
}

// items[slot], roughly by falling reward: a bucket sort, stable, so that equal rewards keep their order.
void order(const hr::List& list, const float* rewards, hr::Scratch& scratch, int64_t* items) {
    constexpr int64_t kBuckets = 128;
    const double spread = list.highest - list.lowest;
    const double scale = spread > 0.0 ? static_cast<double>(kBuckets - 1) / spread : 0.0;
    int64_t* ends = scratch.buckets.take(kBuckets + 1 + list.n);
    int64_t* bucket = ends + kBuckets + 1;
    std::fill_n(ends, kBuckets + 1, int64_t{0});
    for (int64_t i = 0; i < list.n; ++i) {
        bucket[i] = static_cast<int64_t>((list.highest - static_cast<double>(rewards[i])) * scale);
        ++ends[bucket[i] + 1];
    }
    for (int64_t b = 0; b < kBuckets; ++b) ends[b + 1] += ends[b];
    for (int64_t i = 0; i < list.n; ++i) items[ends[bucket[i]]++] = i;
    for (int64_t i = list.n; i < list.padded; ++i) items[i] = i;
}

}  // namespace

void hr::check_lists(const hr_lists* lists, int64_t k, double theta, int64_t window, const hr_picks* picks) {
    if (!lists || !picks) bad("lists, picks: expected pointers, got null");
    at_least("batch", lists->batch, 0);
    at_least("items", lists->items, 0);
    at_least("width", lists->width, 1);
    at_least("k", k, 1);
    at_least("window", window, 0);
    if (!(theta >= 0.0 && theta <= 1.0)) bad("theta: expected 0 to 1, got " + std::to_string(theta));
    int64_t size = 0;
    if (__builtin_mul_overflow(lists->items, lists->width, &size) || __builtin_mul_overflow(lists->batch, k, &size))
        bad("items * width, batch * k: expected products that fit 64 bits");
    if (lists->items && (!lists->vectors || !lists->rewards)) bad("vectors, rewards: expected pointers, got null");
    if (lists->batch && (!picks->picked || !picks->gain)) bad("picked, gain: expected pointers, got null");
    hr::check_offsets(lists->offsets, lists->batch, lists->items);
    check_rules(*lists);
}

const hr::GreedyKernels& hr::greedy_kernels() {
    return pick<GreedyKernels>({&greedy_kernels_scalar, HR_X86(greedy_kernels_avx2), HR_X86(greedy_kernels_avx512)});
}

hr::List::List(const hr_lists& lists, int64_t its_request, Use use, const GreedyKernels& kernels, Scratch& scratch)
    : batch(&lists),
      request(its_request),
      first(lists.offsets[its_request]),
      n(lists.offsets[its_request + 1] - first),
      padded((n + kPanel - 1) / kPanel * kPanel),
      kernels_(kernels),
      squared_(use == Use::kSquares),
      panels_(scratch.panels.take(padded, lists.width)),
      nothing_(scratch.blank.take(lists.width)),
      squares_(scratch.squares.take(padded)),
      norms_(scratch.norms.take(padded)),
      packed_(scratch.packed.take(count())) {
    const float* its_rewards = lists.rewards + first;
    if (!kernels.finite(its_rewards, n)) not_finite("rewards", *this);
    if (n) {
        top = std::max_element(its_rewards, its_rewards + n) - its_rewards;
        lowest = *std::min_element(its_rewards, its_rewards + n), highest = its_rewards[top];
    }
    int64_t* slots = scratch.items.take(padded);
    order(*this, its_rewards, scratch, slots);
    items = slots;
    double* by_slot = scratch.rewards.take(padded);
    for (int64_t slot = 0; slot < padded; ++slot)
        by_slot[slot] = slots[slot] < n ? static_cast<double>(its_rewards[slots[slot]]) : 0.0;
    rewards = by_slot;
    std::fill_n(nothing_, lists.width, 0.0f);
    std::fill_n(packed_, count(), uint8_t{0});
    // A sum in four parts, its products and the row itself are rounded: width / 4 + 4 roundings, each at most 2^-24.
    delta = (static_cast<double>(lists.width) / 4.0 + 8.0) * 0x1.02p-24;
    scan(use == Use::kFirst && n ? lists.vectors + (first + top) * lists.width : nullptr, scratch);
    if (longest > 1e36) {
        blank_ = true;
        products = nullptr;
        delta = 1.0;  // known to |item| * |row|
    }
}

// Squares in float32, rounded up: what float32 rounds and what may vanish below its smallest number.
void hr::List::scan(const float* probe, Scratch& scratch) {
    const float* vectors = batch->vectors + first * batch->width;
    float* squares = scratch.scanned.take(n);
    float* with_probe = scratch.first_products.take(n);
    kernels_.scan(vectors, n, batch->width, probe, squares, with_probe);
    if (probe) products = with_probe;
    const double up = 1.0 + 2.0 * delta, lost = 1.2e-38 * static_cast<double>(batch->width);
    std::fill(squares_ + n, squares_ + padded, 0.0);
    if (!kernels_.finite(squares, n)) return scan_again();
    if (n) longest = static_cast<double>(*std::max_element(squares, squares + n)) * up + lost;
    if (!squared_) return;
    for (int64_t slot = 0; slot < n; ++slot) squares_[slot] = static_cast<double>(squares[items[slot]]) * up + lost;
}

// In float64, because something is not finite: a number, or only a square in float32.
void hr::List::scan_again() {
    for (int64_t slot = 0; slot < n; ++slot) {
        const float* row = vector(slot);
        if (!kernels_.finite(row, batch->width)) not_finite("vectors", *this);
        double square = 0.0;
        for (int64_t c = 0; c < batch->width; ++c) square += static_cast<double>(row[c]) * static_cast<double>(row[c]);
        squares_[slot] = square * (1.0 + 2.0 * delta);
        longest = std::max(longest, squares_[slot]);
    }
}

void hr::List::pack_now(int64_t p) const {
    const int64_t width = batch->width;
    const float* rows[kPanel];
    for (int64_t lane = 0; lane < kPanel; ++lane) {
        const int64_t slot = p * kPanel + lane;
        rows[lane] = items[slot] < n ? vector(slot) : nothing_;
    }
    float* panel = panels_ + p * kPanel * width;
    kernels_.pack(rows, width, panel, squared_ ? squares_ + p * kPanel : nullptr, norms_ + p * kPanel);
    // Panels are often needed one after the other, and their rows come from all over the list.
    for (int64_t slot = (p + 2) * kPanel, end = std::min(slot + kPanel, n); slot < end; ++slot) {
        const float* row = vector(slot);
        for (int64_t c = 0; c < width; c += 16) __builtin_prefetch(row + c);
    }
    if (blank_) std::fill_n(panel, kPanel * width, 0.0f);
    packed_[p] = 1;
}

const int64_t* hr::pinned_slots(const List& list, int64_t k, Scratch& scratch) {
    if (!list.batch->pinned) return nullptr;
    const int64_t* pinned = list.batch->pinned + list.request * k;
    const std::string name = std::to_string(list.request), n = std::to_string(list.n);
    int64_t* slot_of = scratch.slots.take(list.n);
    int64_t* out = scratch.pins.take(k);
    for (int64_t slot = 0; slot < list.padded; ++slot)
        if (list.items[slot] < list.n) slot_of[list.items[slot]] = slot;
    for (int64_t t = 0; t < k; ++t) {
        const int64_t item = pinned[t];
        if (item < -1 || item >= list.n)
            bad("pinned: expected -1 or an item below " + n + " in list " + name + ", got " + std::to_string(item) +
                " at position " + std::to_string(t));
        if (item >= 0 && t >= list.n)
            bad("pinned: expected positions below " + n + ", the length of list " + name + ", got " +
                std::to_string(t));
        if (item >= 0 && slot_of[item] < 0)
            bad("pinned: expected an item once at most in list " + name + ", got item " + std::to_string(item) +
                " twice");
        out[t] = item < 0 ? -1 : slot_of[item];
        if (item >= 0) slot_of[item] = -1;
    }
    return out;
}
