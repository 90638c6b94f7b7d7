// Cuts the catalogue into tiles of allowed items.
#pragma once

#include "topk/query.h"

namespace hr {

// Walks the words [first, last) of the catalogue's bitset, 64 items each, and yields tiles. Items that no query of the
// block may have are left out, so masked items cost nothing and a sparse mask makes full tiles.
class TileReader {
  public:
    // masks: the first mask of the block, `n_masks` of them (0: all items are allowed).
    TileReader(const Problem& problem, const uint64_t* masks, int64_t n_masks, int64_t first, int64_t last);

    // Fills tile.rows and tile.size with at most `limit` items; false when none are left.
    bool next(Tile& tile, int limit);

    // The items of a word that some query of the block may have.
    uint64_t allowed(int64_t word) const;

  private:
    const Problem& problem_;
    const uint64_t* masks_;
    int64_t n_masks_, word_, last_;
    uint64_t bits_ = 0;  // what is left of word_ - 1
};

// After packing: the scale and shift of each item, and the tile's norm. unpacked: the tile's items, where the problem
// has only packed ones. Returns the first row that is not finite, or -1.
int64_t prepare(const Problem& problem, const float* unpacked, Tile& tile);

}  // namespace hr
