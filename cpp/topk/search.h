// One top-k call: how it is cut into blocks of queries, chunks of items and threads.
#pragma once

#include <atomic>

#include "topk/arena.h"
#include "topk/survivors.h"
#include "topk/tiles.h"

namespace hr {

// One thread's scratch.
struct Slot {
    Tile tile;
    Sink* sinks;       // one per query of the block
    Survivors merged;  // all slots' survivors of one query
    Ranking ranking;
    double norm;  // of the longest item seen in this block
};

class Search {
  public:
    Search(const Problem& problem, const float* queries, int64_t n_queries, int threads, float* scores, int64_t* ids);

    // Throws std::invalid_argument when a query or an allowed item is not finite.
    void run();

  private:
    struct Block {
        int64_t first, count;
        int groups() const { return static_cast<int>((count + max_group - 1) / max_group); }
        bool direct() const { return count <= kMaxRead; }
        int64_t group_start(int group) const { return count * group / groups(); }
        int max_group;
    };

    void plan();
    void take_scratch();
    void read_queries();
    void pack_queries(const Block& block);
    void reset(const Block& block, Slot& slot) const;
    void scan(const Block& block, Slot& slot, int64_t first_word, int64_t last_word);
    void scan_tile(const Block& block, Slot& slot);
    void admit_all(const Slot& slot, Sink& sink) const;
    void thin(int64_t query, double norm, Survivors& survivors, const Ranking& ranking);
    void finish(int64_t query, double norm, Survivors& survivors, const Ranking& ranking);
    void finish_merged(const Block& block, int64_t at, Slot& scratch);
    Block block(int64_t index) const;
    void run_by_query();
    void run_by_item();

    const Problem problem_;
    const float* queries_;
    const int64_t n_queries_;
    int threads_;
    float* scores_;
    int64_t* ids_;

    bool by_query_;
    int64_t n_blocks_, block_size_, words_, chunk_;
    int64_t room_;      // survivors of a query before they are thinned out
    int64_t capacity_;  // and a tile more
    int tile_items_;

    Arena& arena_;
    Slot* slots_;
    Query* lengths_;
    double* wide_;
    Threshold* thresholds_;
    float* packed_;
    std::atomic<int64_t> bad_row_;
};

}  // namespace hr
