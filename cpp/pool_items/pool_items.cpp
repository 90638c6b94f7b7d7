#include "pool_items/pool_items.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/pool.h"
#include "core/status.h"
#include "segment_topk/selector.h"

namespace {

constexpr int64_t kEntriesPerThread = 1024;
constexpr int64_t kMostLists = 63;

void expect(bool holds, const std::string& message) {
    if (!holds) throw std::invalid_argument(message);
}

struct Group {
    int64_t item;
    double sum;
    int64_t lists;
};

// The distinct items of one request, in the order they first came, in memory that is kept from request to request.
class Pool {
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
    // Writes the best k; returns how many there are, or -1 when a sum is NaN.
    int64_t best(int64_t k, int64_t* item, float* score, int64_t* lists) {
        if (static_cast<int64_t>(rounded_.size()) < size_) {
            rounded_.resize(size_);
            tie_.resize(size_);
        }
        for (int64_t i = 0; i < size_; ++i) {
            rounded_[i] = static_cast<float>(groups_[i].sum);
            tie_[i] = groups_[i].item;
        }
        const uint32_t* order = hr::thread_selector().top(rounded_.data(), tie_.data(), size_, k);
        if (!order) return -1;
        const int64_t kept = std::min(size_, k);
        for (int64_t i = 0; i < kept; ++i) {
            const Group& group = groups_[order[i]];
            item[i] = group.item;
            score[i] = rounded_[order[i]];
            lists[i] = group.lists;
        }
        return kept;
    }

  private:
    std::vector<uint64_t> slots_;
    uint64_t mask_ = 0;
    int shift_ = 60;
    std::vector<Group> groups_;
    int64_t size_ = 0;
    std::vector<float> rounded_;
    std::vector<int64_t> tie_;
};

struct Span {
    int64_t first, last;
};

Span span_of(const hr_item_lists& lists, int64_t list, int64_t request) {
    const int64_t* at = lists.offsets + list * (lists.batch + 1) + request;
    return {at[0], std::min(at[1], at[0] + std::min(lists.limits[list], lists.nnz))};
}

void check(const hr_item_lists& lists, int64_t k) {
    expect(k >= 1, "k: expected at least 1, got " + std::to_string(k));
    expect(lists.lists >= 1 && lists.lists <= kMostLists,
           "offsets: expected 1 to 63 lists, got " + std::to_string(lists.lists));
    expect(lists.batch >= 0 && lists.nnz >= 0 && lists.nnz < int64_t{1} << 30,
           "item: expected fewer than 2^30 entries");
    expect(lists.score || lists.constant > -1, "constant: expected more than -1");
    for (int64_t l = 0; l < lists.lists; ++l) {
        expect(lists.limits[l] >= 1, "limits: expected at least 1, got " + std::to_string(lists.limits[l]));
        const int64_t* offsets = lists.offsets + l * (lists.batch + 1);
        bool rises = offsets[0] >= 0 && offsets[lists.batch] <= lists.nnz;
        for (int64_t b = 0; b < lists.batch; ++b) rises &= offsets[b] <= offsets[b + 1];
        expect(rises,
               "offsets: expected list " + std::to_string(l) + " to rise within 0 to " + std::to_string(lists.nnz));
    }
}

void gather(const hr_item_lists& lists, int64_t request, int64_t entries, Pool& pool) {
    pool.clear(entries);
    for (int64_t l = 0; l < lists.lists; ++l) {
        const Span span = span_of(lists, l, request);
        bool again = false;
        for (int64_t i = span.first; i < span.last; ++i) {
            const double worth =
                lists.score ? lists.score[i] : 1.0 / (lists.constant + static_cast<double>(i - span.first + 1));
            again |= pool.add(lists.item[i], worth, int64_t{1} << l);
        }
        // Sums of scores may have an item twice; ranks may not.
        if (again && !lists.score)
            throw std::invalid_argument("item: expected each once in a list, got one twice in list " +
                                        std::to_string(l));
    }
}

}  // namespace

hr_status hr_pool_items(const hr_item_lists* lists, int64_t k, int threads, int64_t room, int64_t* out_offsets,
                        int64_t* out_item, float* out_score, int64_t* out_lists) {
    return hr::guarded([&] {
        check(*lists, k);
        std::vector<int64_t> entries(lists->batch, 0), start(lists->batch + 1, 0);
        for (int64_t l = 0; l < lists->lists; ++l)
            for (int64_t b = 0; b < lists->batch; ++b) {
                const Span span = span_of(*lists, l, b);
                entries[b] += span.last - span.first;
            }
        for (int64_t b = 0; b < lists->batch; ++b) start[b + 1] = start[b] + std::min(k, entries[b]);
        expect(start[lists->batch] <= room, "out: expected more room");
        const int most =
            static_cast<int>(std::min<int64_t>(hr::resolve_threads(threads), 1 + lists->nnz / kEntriesPerThread));
        hr::parallel_for(lists->batch, most, [&](int64_t b, int) {
            thread_local Pool pool;
            gather(*lists, b, entries[b], pool);
            const int64_t at = start[b];
            entries[b] = pool.best(k, out_item + at, out_score + at, out_lists + at);
            expect(entries[b] >= 0, "score: expected numbers, got NaN");
        });
        // Close the gaps that equal items left.
        out_offsets[0] = 0;
        for (int64_t b = 0; b < lists->batch; ++b) {
            const int64_t from = start[b], to = out_offsets[b], kept = entries[b];
            out_offsets[b + 1] = to + kept;
            if (from == to) continue;
            std::copy_n(out_item + from, kept, out_item + to);
            std::copy_n(out_score + from, kept, out_score + to);
            std::copy_n(out_lists + from, kept, out_lists + to);
        }
    });
}
