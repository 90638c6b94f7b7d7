#include "pool_items/pool_items.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/checks.h"
#include "core/pool.h"
#include "core/status.h"
#include "pool_items/pool.h"

namespace {

using hr::expect;

constexpr int64_t kEntriesPerThread = 1024;
constexpr int64_t kMostLists = 63;

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
    hr::check_pointer("offsets", lists.offsets);
    hr::check_pointer("limits", lists.limits);
    hr::check_pointer("item", lists.item, lists.nnz > 0);
    for (int64_t l = 0; l < lists.lists; ++l) {
        expect(lists.limits[l] >= 1, "limits: expected at least 1, got " + std::to_string(lists.limits[l]));
        const int64_t* offsets = lists.offsets + l * (lists.batch + 1);
        bool rises = offsets[0] >= 0 && offsets[lists.batch] <= lists.nnz;
        for (int64_t b = 0; b < lists.batch; ++b) rises &= offsets[b] <= offsets[b + 1];
        expect(rises,
               "offsets: expected list " + std::to_string(l) + " to rise within 0 to " + std::to_string(lists.nnz));
    }
}

void gather(const hr_item_lists& lists, int64_t request, int64_t entries, hr::ItemPool& pool) {
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

// rank: int32 [kept, lists], of the items that the pool kept.
void write_ranks(const hr_item_lists& lists, int64_t request, const hr::ItemPool& pool, int64_t kept, int32_t* rank) {
    std::fill_n(rank, kept * lists.lists, 0);
    for (int64_t l = 0; l < lists.lists; ++l) {
        const Span span = span_of(lists, l, request);
        for (int64_t i = span.last - 1; i >= span.first; --i) {
            const int64_t place = pool.place_of(lists.item[i]);
            if (place >= 0) rank[place * lists.lists + l] = static_cast<int32_t>(i - span.first + 1);
        }
    }
}

}  // namespace

hr_status hr_pool_items(const hr_item_lists* lists, int64_t k, int threads, int64_t room, int64_t* out_offsets,
                        int64_t* out_item, float* out_score, int64_t* out_lists, int32_t* out_rank) {
    return hr::guarded([&] {
        hr::check_pointer("lists", lists);
        check(*lists, k);
        hr::check_pointer("out_offsets", out_offsets);
        hr::check_pointer("out_item", out_item, room > 0);
        hr::check_pointer("out_score", out_score, room > 0);
        hr::check_pointer("out_lists", out_lists, room > 0);
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
            hr::ItemPool& pool = hr::thread_item_pool();
            gather(*lists, b, entries[b], pool);
            const int64_t at = start[b];
            entries[b] = pool.best(k, out_item + at, out_score + at, out_lists + at);
            expect(entries[b] >= 0, "score: expected numbers, got NaN");
            if (out_rank) write_ranks(*lists, b, pool, entries[b], out_rank + at * lists->lists);
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
            if (out_rank)
                std::copy_n(out_rank + from * lists->lists, kept * lists->lists, out_rank + to * lists->lists);
        }
    });
}
