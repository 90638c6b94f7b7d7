// The part of a search that reads a packed catalogue.
#include "topk/search.h"

namespace {

constexpr int kPanels = hr::PackedLayout::kPanels;

// Rows of the tile that the mask words allow, for queries whose scan scores mean nothing.
void list_rows(int64_t index, const uint32_t* allowed, hr::Tile& tile) {
    tile.size = 0;
    for (int i = 0; i < hr::kTile; ++i)
        if (allowed[i / hr::kPanel] >> (i % hr::kPanel) & 1)
            tile.rows[tile.size++] = static_cast<int32_t>(index * hr::kTile + i);
}

}  // namespace

void hr::Search::scan_packed(const Block& block, Slot& slot, int64_t first_tile, int64_t last_tile) {
    const int64_t n_masks = !problem_.mask ? 0 : problem_.mask_stride ? block.count : 1;
    const uint64_t* masks = n_masks ? problem_.mask + block.first * problem_.mask_stride : nullptr;
    const TileReader reader(problem_, masks, n_masks, 0, words_);
    constexpr int kWords = kTile / 64;
    for (int64_t index = first_tile; index < last_tile;) {
        PackedRun run{0, {}, {}, {}};
        for (; run.count < kTilesPerRun && index < last_tile; ++index) {
            uint32_t* allowed = run.allowed[run.count];
            uint32_t any = 0;
            for (int w = 0; w < kWords; ++w) {
                const int64_t word = index * kWords + w;
                const uint64_t bits = word < words_ ? reader.allowed(word) : 0;
                allowed[2 * w] = static_cast<uint32_t>(bits);
                allowed[2 * w + 1] = static_cast<uint32_t>(bits >> 32);
                any |= allowed[2 * w] | allowed[2 * w + 1];
            }
            if (!any) continue;
            run.extent.include(problem_.packed->extent(index));
            run.tiles[run.count++] = index;
        }
        if (run.count) scan_packed_run(block, slot, run);
    }
}

void hr::Search::scan_packed_run(const Block& block, Slot& slot, const PackedRun& run) {
    const Packed& packed = *problem_.packed;
    const PackedLayout& layout = packed.layout;
    slot.extent.include(run.extent);
    float limits[kMaxBlock];
    const int count = static_cast<int>(block.count);
    set_limits(block.first, count, run.extent, limits);
    for (int m = 0; m < count; ++m) {
        if (!std::isnan(limits[m])) continue;
        for (int t = 0; t < run.count; ++t) {
            list_rows(run.tiles[t], run.allowed[t], slot.tile);
            admit_all(slot.tile, slot.sinks[m]);
        }
    }
    const PackedScan scan = layout.metric == HR_METRIC_L2 ? packed.kernels->scan_shifted : packed.kernels->scan;
    for (int t = 0; t < run.count; ++t) {
        const int64_t index = run.tiles[t];
        const PackedTile tile{
            packed.tile(index) + PackedLayout::kHead, layout.panel_bytes(), layout.steps(), run.allowed[t], kPanels,
            static_cast<int32_t>(index * kTile)};
        for (int g = 0; g < block.groups(); ++g) {
            const int64_t start = block.group_start(g), first = block.first + start;
            const int size = static_cast<int>(block.group_start(g + 1) - start);
            scan(tile, {rounded_ + first * query_words_, scales_ + first, starts_ + first, size}, limits + start,
                 slot.sinks + start);
        }
    }
    for (int m = 0; m < count; ++m) thin(block.first + m, slot.extent, slot.sinks[m].survivors, slot);
}
