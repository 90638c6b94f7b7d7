#include "two_hop/two_hop.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/checks.h"
#include "core/pool.h"
#include "core/status.h"
#include "pool_items/pool.h"

namespace {

using hr::expect;

constexpr int64_t kSeedsPerThread = 128;
constexpr int64_t kLine = 64;

struct Call {
    const int64_t* users;
    const int64_t* now;
    int64_t batch;
    const hr_edges& seeds;
    const hr_edges& items;
    int64_t limit;
    bool share;
    int64_t k;
};

struct Span {
    int64_t first, last;
    double weight;
};

void check_edges(const char* name, const hr_edges& edges) {
    expect(edges.nodes >= 0 && edges.entries >= 0 && edges.entries < int64_t{1} << 31,
           std::string(name) + ": expected fewer than 2^31 entries");
    hr::check_pointer("offsets", edges.offsets);
    hr::check_pointer("target", edges.target, edges.entries > 0);
    expect(edges.offsets[0] == 0 && edges.offsets[edges.nodes] == edges.entries,
           std::string(name) + ".offsets: expected to run from 0 to " + std::to_string(edges.entries));
}

// Returns the seeds of all requests.
int64_t check(const Call& call) {
    expect(call.k >= 1, "k: expected at least 1, got " + std::to_string(call.k));
    expect(call.limit >= 1, "limit: expected at least 1, got " + std::to_string(call.limit));
    expect(call.batch >= 0 && call.batch < int64_t{1} << 31, "users: expected 0 to 2^31 - 1");
    hr::check_pointer("users", call.users, call.batch > 0);
    check_edges("seeds", call.seeds);
    check_edges("items", call.items);
    hr::check_pointer("seeds.weight", call.seeds.weight, call.seeds.entries > 0);
    hr::check_pointer("now", call.now, call.items.time && call.batch > 0);
    int64_t count = 0;
    for (int64_t b = 0; b < call.batch; ++b) {
        const int64_t user = call.users[b];
        if (user < -1 || user >= call.seeds.nodes)
            hr::bad("users: expected rows from -1 to " + std::to_string(call.seeds.nodes - 1) + ", got " +
                    std::to_string(user));
        if (user < 0) continue;
        const hr::Range seeds = hr::list_at("seeds.offsets", call.seeds.offsets, user, call.seeds.entries);
        count += seeds.last - seeds.first;
    }
    return count;
}

double total_of(const float* weight, int64_t count) {
    double total = 0;
    for (int64_t i = 0; i < count; ++i) total += static_cast<double>(weight[i]);
    expect(total > 0, "seeds.weight: expected sums above 0, got " + std::to_string(total));
    return total;
}

// The fetched lines are on their way while the next seeds are looked up.
template <class T>
void fetch(const T* first, int64_t count) {
    const char* at = reinterpret_cast<const char*>(first);
    const auto bytes = std::min<int64_t>(count * static_cast<int64_t>(sizeof(T)), 4 * kLine);
    for (int64_t b = 0; b < bytes; b += kLine) __builtin_prefetch(at + b);
}

// Which entries of the second hop request b sees, seed by seed; returns how many.
int64_t spans_of(const Call& call, int64_t b, std::vector<Span>& spans) {
    spans.clear();
    const int64_t user = call.users[b];
    if (user < 0) return 0;
    const hr::Range seeds = hr::list_at("seeds.offsets", call.seeds.offsets, user, call.seeds.entries);
    const int64_t count = seeds.last - seeds.first;
    if (count == 0) return 0;
    const int64_t* seed = call.seeds.target + seeds.first;
    const float* weight = call.seeds.weight + seeds.first;
    const double total = call.share ? total_of(weight, count) : 1.0;
    const hr_edges& items = call.items;
    for (int64_t i = 0; i < count; ++i) {
        if (seed[i] < 0 || seed[i] >= items.nodes) hr::bad_entry("seeds.target", 0, items.nodes - 1, seed[i]);
        __builtin_prefetch(items.offsets + seed[i]);
    }
    int64_t entries = 0;
    for (int64_t i = 0; i < count; ++i) {
        auto [first, last] = hr::list_at("items.offsets", items.offsets, seed[i], items.entries);
        if (items.time)
            first = std::lower_bound(items.time + first, items.time + last, call.now[b], std::greater<>()) - items.time;
        last = std::min(last, first + std::min(call.limit, items.entries));
        const auto w = static_cast<double>(weight[i]);
        if (call.share) {
            const double most = std::ceil(static_cast<double>(call.k) * w / total);
            if (!(most >= static_cast<double>(last - first))) last = first + static_cast<int64_t>(std::max(most, 0.0));
        }
        if (first >= last) continue;
        spans.push_back({first, last, w / total});
        fetch(items.target + first, last - first);
        if (items.weight) fetch(items.weight + first, last - first);
        entries += last - first;
    }
    return entries;
}

int64_t recall(const Call& call, int64_t b, int64_t* item, float* score) {
    thread_local std::vector<Span> spans;
    hr::ItemPool& pool = hr::thread_item_pool();
    pool.clear(spans_of(call, b, spans));
    for (const Span& span : spans)
        for (int64_t i = span.first; i < span.last; ++i) {
            const double worth = call.items.weight ? span.weight * static_cast<double>(call.items.weight[i])
                                                   : span.weight / static_cast<double>(i - span.first + 1);
            pool.add(call.items.target[i], worth, 1);
        }
    const int64_t found = pool.best(call.k, item, score, nullptr);
    expect(found >= 0, "weight: expected numbers, got NaN");
    return found;
}

}  // namespace

hr_status hr_two_hop(const int64_t* users, const int64_t* now, int64_t batch, const hr_edges* seeds,
                     const hr_edges* items, int64_t limit, int share, int64_t k, int threads, int64_t* out_offsets,
                     int64_t* out_item, float* out_score) {
    return hr::guarded([&] {
        hr::check_pointer("seeds", seeds);
        hr::check_pointer("items", items);
        const Call call{users, now, batch, *seeds, *items, limit, share != 0, k};
        const int64_t work = 1 + check(call) / kSeedsPerThread;
        const int64_t room = std::min(k, items->entries);
        hr::check_pointer("out_offsets", out_offsets);
        hr::check_pointer("out_item", out_item, batch > 0 && room > 0);
        hr::check_pointer("out_score", out_score, batch > 0 && room > 0);
        hr::parallel_for(
            batch, static_cast<int>(std::min<int64_t>(hr::resolve_threads(threads), work)),
            [&](int64_t b, int) { out_offsets[b + 1] = recall(call, b, out_item + b * room, out_score + b * room); });
        // Close the gaps behind requests that found fewer.
        out_offsets[0] = 0;
        for (int64_t b = 0; b < batch; ++b) {
            const int64_t to = out_offsets[b], kept = out_offsets[b + 1];
            out_offsets[b + 1] = to + kept;
            if (b * room == to) continue;
            std::copy_n(out_item + b * room, kept, out_item + to);
            std::copy_n(out_score + b * room, kept, out_score + to);
        }
    });
}
