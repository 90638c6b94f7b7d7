// One top-k call: how it is cut into blocks of queries, chunks of items and threads.
#pragma once

#include <atomic>

#include "topk/arena.h"
#include "topk/survivors.h"
#include "topk/tiles.h"

namespace hr {

constexpr int64_t kMaxBlock = 256;  // queries that share one pass over the items
constexpr int kTilesPerRun = 4;

// Packed tiles with one limit for each query: setting limits costs as much as multiplying by AMX.
struct PackedRun {
    int count;
    int64_t tiles[kTilesPerRun];
    uint32_t allowed[kTilesPerRun][PackedLayout::kPanels];
    Extent extent;
};

// One thread's scratch.
struct Slot {
    Tile tile;
    Sink* sinks;       // one per query of the block
    Survivors merged;  // all slots' survivors of one query
    Ranking ranking;
    double* unit;   // a query of length 1
    Extent extent;  // of the items seen in this block
    hr_topk_counts counts;
};

class Search {
  public:
    ~Search() { arena_.end(); }
    Search(const Problem& problem, const float* queries, int64_t n_queries, int threads, double* scores, int64_t* ids);

    // Throws std::invalid_argument when a query or an allowed item is not finite.
    void run();
    hr_topk_counts counts() const;

  private:
    struct Block {
        int64_t first, count;
        int groups() const { return static_cast<int>((count + max_group - 1) / max_group); }
        bool direct() const { return reads_rows && count <= kMaxRead; }
        int64_t group_start(int group) const { return count * group / groups(); }
        int max_group;
        bool reads_rows;
    };

    void plan();
    void take_scratch();
    void read_queries();
    void pack_queries(const Block& block, Slot& slot);
    const double* scanned_values(const Query& query, Slot& slot) const;
    void reset(const Block& block, Slot& slot) const;
    void scan(const Block& block, Slot& slot, int64_t first_word, int64_t last_word);
    void read_tile(const Block& block, Slot& slot);
    void scan_tile(const Block& block, Slot& slot);
    void admit_all(const Tile& tile, Sink& sink) const;
    void scan_packed(const Block& block, Slot& slot, int64_t first_tile, int64_t last_tile);
    void scan_packed_run(const Block& block, Slot& slot, const PackedRun& run);
    void set_limits(int64_t first, int count, const Extent& extent, float* limits) const;
    void thin(int64_t query, const Extent& extent, Survivors& survivors, Slot& slot);
    void finish(int64_t query, const Extent& extent, Survivors& survivors, Slot& slot);
    void finish_merged(const Block& block, int64_t at, Slot& scratch);
    Block block(int64_t index) const;
    void run_by_query();
    void run_by_item();

    const Problem problem_;
    const float* queries_;
    const int64_t n_queries_;
    int threads_;
    double* scores_;
    int64_t* ids_;

    bool by_query_;
    int64_t n_blocks_, block_size_, words_, chunk_;
    int64_t room_;      // survivors of a query before they are thinned out
    int64_t capacity_;  // and the tiles between two thinnings more
    int tile_items_, max_group_;

    Arena& arena_;
    Slot* slots_;
    Query* lengths_;
    double* wide_;
    Threshold* thresholds_;
    float* packed_;
    uint32_t* rounded_;  // the same for a packed catalogue
    int64_t query_words_;
    float* scales_;
    int32_t* starts_;
    std::atomic<int64_t> bad_row_;
};

}  // namespace hr
