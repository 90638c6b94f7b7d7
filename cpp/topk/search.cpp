#include "topk/search.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "core/pool.h"

namespace {

constexpr int64_t kBudget = int64_t{64} << 20;  // bytes of survivors that one call holds
constexpr int64_t kTileFloats = 16384;          // a packed tile stays in the second-level cache

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

hr::Arena& thread_arena() {
    thread_local hr::Arena arena;
    return arena;
}

}  // namespace

hr::Search::Search(const Problem& problem, const float* queries, int64_t n_queries, int threads, double* scores,
                   int64_t* ids)
    : problem_(problem),
      queries_(queries),
      n_queries_(n_queries),
      threads_(threads),
      scores_(scores),
      ids_(ids),
      arena_(thread_arena()),
      bad_row_(problem.n_items) {
    plan();
    arena_.begin();
    take_scratch();
    arena_.allocate();
    take_scratch();
}

void hr::Search::plan() {
    words_ = divide_up(problem_.n_items, 64);
    max_group_ = problem_.packed ? problem_.packed->kernels->max_group : problem_.kernels->max_group;
    tile_items_ = static_cast<int>(std::clamp<int64_t>(kTileFloats / problem_.dim / kPanel * kPanel, kPanel, kTile));
    // Twice k: fewer passes over the survivors cost more survivors.
    const bool packed = problem_.packed;
    // Low precision leaves more near ties.
    room_ = std::min(problem_.n_items, problem_.k + (packed ? 3 : 1) * std::max<int64_t>(problem_.k, 128));
    capacity_ = room_ + (packed ? kTilesPerRun : 1) * kTile + kSlack;
    const int64_t per_query = capacity_ * static_cast<int64_t>(sizeof(float) + sizeof(int32_t));
    const int64_t most = problem_.alone ? 1 : std::clamp<int64_t>(kBudget / per_query / threads_, 1, kMaxBlock);
    // Splitting queries makes each thread transpose all items, which many queries pay for; packed ones are ready.
    by_query_ = threads_ == 1 || problem_.alone || n_queries_ >= (packed ? 16 : 64) * static_cast<int64_t>(threads_);
    n_blocks_ = divide_up(n_queries_, most);
    if (by_query_) n_blocks_ = std::min(n_queries_, divide_up(n_blocks_, threads_) * threads_);
    block_size_ = divide_up(n_queries_, n_blocks_);
    chunk_ = by_query_ ? words_ : std::clamp<int64_t>(words_ / (threads_ * 8), 16, 1024);
    if (packed) chunk_ = divide_up(chunk_, kTile / 64) * (kTile / 64);
    const int64_t tasks = by_query_ ? n_blocks_ : std::max<int64_t>(1, divide_up(words_, chunk_));
    threads_ = static_cast<int>(std::min<int64_t>(threads_, tasks));
}

void hr::Search::take_scratch() {
    const int64_t merged = by_query_ ? 0 : 2 * capacity_;
    lengths_ = arena_.take<Query>(n_queries_);
    wide_ = arena_.take<double>(n_queries_ * problem_.dim);
    thresholds_ = arena_.take<Threshold>(n_queries_);
    query_words_ = problem_.packed ? query_words(problem_.packed->layout, *problem_.packed->kernels) : 0;
    packed_ = arena_.take<float>(problem_.packed ? 0 : n_queries_ * problem_.dim);
    rounded_ = arena_.take<uint32_t>(n_queries_ * query_words_);
    scales_ = arena_.take<float>(n_queries_);
    starts_ = arena_.take<int32_t>(n_queries_);
    slots_ = arena_.take<Slot>(threads_);
    for (int s = 0; s < threads_; ++s) {
        auto* panels = arena_.take<float>(std::max<int64_t>(tile_items_ * problem_.dim, kMaxRead * kTile));
        auto* unit = arena_.take<double>(problem_.dim);
        auto* sinks = arena_.take<Sink>(block_size_);
        auto* scores = arena_.take<float>(capacity_ * block_size_);
        auto* rows = arena_.take<int32_t>(capacity_ * block_size_);
        const Survivors all{arena_.take<float>(merged), arena_.take<int32_t>(merged), 0};
        const int64_t most = std::max(merged, capacity_);
        auto* ranked = arena_.take<Ranked>(most);
        auto* spare = arena_.take<Ranked>(most);
        auto* starts = arena_.take<int32_t>(most + 1);
        auto* unpacked = arena_.take<float>(problem_.items ? 0 : tile_items_ * problem_.dim);
        if (!slots_) continue;
        slots_[s].tile.panels = panels;
        slots_[s].unit = unit;
        slots_[s].counts = {};
        slots_[s].sinks = sinks;
        slots_[s].merged = all;
        slots_[s].ranking = {ranked, spare, starts, unpacked};
        for (int64_t i = 0; i < block_size_; ++i)
            sinks[i] = {{scores + i * capacity_, rows + i * capacity_, 0}, nullptr};
    }
}

hr::Search::Block hr::Search::block(int64_t index) const {
    const int64_t first = n_queries_ * index / n_blocks_;
    return {first, n_queries_ * (index + 1) / n_blocks_ - first, max_group_, !problem_.packed};
}

void hr::Search::read_queries() {
    for (int64_t b = 0; b < n_queries_; ++b) {
        const float* values = queries_ + b * problem_.dim;
        double* wide = wide_ + b * problem_.dim;
        std::copy_n(values, problem_.dim, wide);
        lengths_[b] = {values, wide, std::sqrt(problem_.kernels->dot(values, values, problem_.dim)), {}};
        if (!std::isfinite(lengths_[b].length))
            throw std::invalid_argument("queries: expected finite values, got NaN or infinity in row " +
                                        std::to_string(b));
        thresholds_[b].reset();
    }
}

// What of a query the scan multiplies.
const double* hr::Search::scanned_values(const Query& query, Slot& slot) const {
    if (problem_.metric != HR_METRIC_COSINE || !(query.length > 0)) return query.wide;
    for (int64_t j = 0; j < problem_.dim; ++j) slot.unit[j] = query.wide[j] / query.length;
    return slot.unit;
}

void hr::Search::pack_queries(const Block& block, Slot& slot) {
    const int64_t dim = problem_.dim;
    for (int g = 0; g < block.groups(); ++g) {
        const int64_t start = block.group_start(g), size = block.group_start(g + 1) - start;
        for (int64_t m = 0; m < size; ++m) {
            const int64_t at = block.first + start + m;
            Query& query = lengths_[at];
            const double* values = scanned_values(query, slot);
            PackedVector vector{};
            if (problem_.packed) {
                vector = pack_query(problem_.packed->layout, *problem_.packed->kernels, values, m, size,
                                    rounded_ + (block.first + start) * query_words_);
                scales_[at] = vector.scale;
                starts_[at] = vector.start;
            } else {
                float* out = packed_ + (block.first + start) * dim;
                for (int64_t j = 0; j < dim; ++j)
                    out[block.direct() ? m * dim + j : j * size + m] = static_cast<float>(values[j]);
            }
            query.bound = problem_.bound(query.length, vector);
        }
    }
}

void hr::Search::reset(const Block& block, Slot& slot) const {
    const bool own_masks = problem_.mask_stride && block.count > 1;
    slot.extent = {};
    for (int64_t i = 0; i < block.count; ++i) {
        slot.sinks[i].survivors.count = 0;
        slot.sinks[i].mask = own_masks ? problem_.mask + (block.first + i) * problem_.mask_stride : nullptr;
    }
}

void hr::Search::scan(const Block& block, Slot& slot, int64_t first_word, int64_t last_word) {
    if (problem_.packed) {
        constexpr int64_t kWords = kTile / 64;
        return scan_packed(block, slot, first_word / kWords, divide_up(last_word, kWords));
    }
    const int64_t n_masks = !problem_.mask ? 0 : problem_.mask_stride ? block.count : 1;
    const uint64_t* masks = n_masks ? problem_.mask + block.first * problem_.mask_stride : nullptr;
    TileReader reader(problem_, masks, n_masks, first_word, last_word);
    while (reader.next(slot.tile, tile_items_)) {
        read_tile(block, slot);
        const int64_t bad = prepare(problem_, slot.ranking.unpacked, slot.tile);
        if (bad < 0) {
            scan_tile(block, slot);
            continue;
        }
        int64_t first = bad_row_.load();
        while (bad < first && !bad_row_.compare_exchange_weak(first, bad)) {
        }
    }
}

void hr::Search::read_tile(const Block& block, Slot& slot) {
    Tile& tile = slot.tile;
    const float* items = problem_.items;
    int32_t rows[kTile];
    if (!items) {
        std::memcpy(rows, tile.rows, sizeof rows);
        unpack_rows(problem_.numbers->layout, problem_.numbers->data, rows, tile.size, slot.ranking.unpacked);
        for (int i = 0; i < kTile; ++i) tile.rows[i] = std::min(i, tile.size - 1);
        items = slot.ranking.unpacked;
    }
    if (block.direct())
        problem_.kernels->read(items, problem_.dim, packed_ + block.first * problem_.dim, static_cast<int>(block.count),
                               tile);
    else
        problem_.kernels->pack(items, problem_.dim, tile);
    if (!problem_.items) std::memcpy(tile.rows, rows, sizeof rows);
}

// NaN, which no score reaches, where float32 could overflow.
void hr::Search::set_limits(int64_t first, int count, const Extent& extent, float* limits) const {
    for (int m = 0; m < count; ++m) {
        const double bound = lengths_[first + m].bound.at(extent);
        limits[m] = bound == kInfinity ? std::numeric_limits<float>::quiet_NaN()
                                       : round_down(thresholds_[first + m].get() - bound);
    }
}

void hr::Search::scan_tile(const Block& block, Slot& slot) {
    const Extent extent{slot.tile.norm, 0.0};
    slot.extent.include(extent);
    for (int g = 0; g < block.groups(); ++g) {
        const int64_t start = block.group_start(g);
        const int size = static_cast<int>(block.group_start(g + 1) - start);
        Sink* sinks = slot.sinks + start;
        float limits[kMaxGroup];
        set_limits(block.first + start, size, extent, limits);
        for (int m = 0; m < size; ++m)
            if (std::isnan(limits[m])) admit_all(slot.tile, sinks[m]);
        const float* packed = packed_ + (block.first + start) * problem_.dim;
        if (block.direct())
            problem_.kernels->admit_read(slot.tile, size, limits, sinks);
        else
            problem_.kernels->scan(slot.tile, problem_.dim, packed, size, limits, sinks);
        for (int m = 0; m < size; ++m) thin(block.first + start + m, slot.extent, sinks[m].survivors, slot);
    }
}

void hr::Search::admit_all(const Tile& tile, Sink& sink) const {
    for (int i = 0; i < tile.size; ++i) {
        const int32_t row = tile.rows[i];
        if (sink.mask && !(sink.mask[row >> 6] >> (row & 63) & 1)) continue;
        sink.survivors.add(0.0f, row);  // a score never compared: the slot's bound is infinite from here on
    }
}

void hr::Search::thin(int64_t query, const Extent& extent, Survivors& survivors, Slot& slot) {
    if (survivors.count <= room_) return;
    const double bound = lengths_[query].bound.at(extent);
    const int64_t enough = problem_.k + (room_ - problem_.k) * 3 / 4;
    int64_t scored = 0;
    if (bound < kInfinity) {
        thin_by_scan(problem_, bound, 8, survivors, thresholds_[query]);
        if (survivors.count <= enough) return;
        scored = thin_by_best(problem_, lengths_[query], bound, survivors, slot.ranking, thresholds_[query]);
    }
    ++slot.counts.widened;
    slot.counts.rescored += survivors.count > enough ? survivors.count : scored;
    if (survivors.count <= enough) return;
    thin_by_score(problem_, lengths_[query], survivors, scored, slot.ranking, thresholds_[query]);
}

void hr::Search::finish(int64_t query, const Extent& extent, Survivors& survivors, Slot& slot) {
    const double bound = lengths_[query].bound.at(extent);
    int64_t scored = 0;
    if (bound < kInfinity) {
        thin_by_scan(problem_, bound, problem_.k + 1, survivors, thresholds_[query]);
        scored = thin_by_best(problem_, lengths_[query], bound, survivors, slot.ranking, thresholds_[query]);
    }
    slot.counts.rescored += survivors.count;
    write_best(problem_, lengths_[query], survivors, scored, slot.ranking, scores_ + query * problem_.width,
               ids_ + query * problem_.width);
}

hr_topk_counts hr::Search::counts() const {
    hr_topk_counts all{};
    for (int s = 0; s < threads_; ++s) {
        all.rescored += slots_[s].counts.rescored;
        all.widened += slots_[s].counts.widened;
    }
    return all;
}

void hr::Search::finish_merged(const Block& block, int64_t at, Slot& scratch) {
    const int64_t query = block.first + at;
    Extent extent;
    for (int s = 0; s < threads_; ++s) extent.include(slots_[s].extent);
    Survivors all = scratch.merged;
    for (int s = 0; s < threads_; ++s) {
        const Survivors& part = slots_[s].sinks[at].survivors;
        std::memcpy(all.scores + all.count, part.scores, static_cast<size_t>(part.count) * sizeof(float));
        std::memcpy(all.rows + all.count, part.rows, static_cast<size_t>(part.count) * sizeof(int32_t));
        all.count += part.count;
        thin(query, extent, all, scratch);
    }
    finish(query, extent, all, scratch);
}

void hr::Search::run_by_query() {
    parallel_for(n_blocks_, threads_, [&](int64_t index, int worker) {
        const Block now = block(index);
        Slot& slot = slots_[worker];
        pack_queries(now, slot);
        reset(now, slot);
        scan(now, slot, 0, words_);
        for (int64_t at = 0; at < now.count; ++at) finish(now.first + at, slot.extent, slot.sinks[at].survivors, slot);
    });
}

void hr::Search::run_by_item() {
    for (int64_t index = 0; index < n_blocks_; ++index) {
        const Block now = block(index);
        pack_queries(now, slots_[0]);
        for (int s = 0; s < threads_; ++s) reset(now, slots_[s]);
        parallel_for(divide_up(words_, chunk_), threads_, [&](int64_t task, int worker) {
            scan(now, slots_[worker], task * chunk_, std::min(words_, (task + 1) * chunk_));
        });
        parallel_for(now.count, threads_, [&](int64_t at, int worker) { finish_merged(now, at, slots_[worker]); });
    }
}

void hr::Search::run() {
    read_queries();
    by_query_ ? run_by_query() : run_by_item();
    if (bad_row_ < problem_.n_items)
        throw std::invalid_argument("items: expected finite values, got NaN or infinity in row " +
                                    std::to_string(bad_row_));
}
