// What each instruction set provides to scan a catalogue packed in low precision.
#pragma once

#include <cstddef>
#include <cstdint>

#include "topk/kernels.h"

namespace hr {

constexpr int kMaxPackedGroup = 256;
constexpr int kTileSide = 16;  // words in a row of an AMX tile

// Words of a query in whole tiles. Where the last `left` of more than kTileSide steps fill none, they end the last row,
// after zeros.
__attribute__((always_inline)) inline int64_t tile_words(int64_t steps) {
    return (steps + kTileSide - 1) / kTileSide * kTileSide;
}

struct PackedTile {
    const std::byte* panels;
    int64_t panel_bytes, steps;
    const uint32_t* allowed;  // for each panel: bit i set where item i may be returned to some query
    int n_panels;
    int32_t first_row;
};

// `size` queries: words [steps][size] or [size][tile_words(steps)], and the scale and the start of each one's sum
// (int8).
struct PackedGroup {
    const uint32_t* words;
    const float* scales;
    const int32_t* starts;
    int size;
};

// Scores the tile's items and appends what reaches each query's limit.
using PackedScan = void (*)(const PackedTile& tile, const PackedGroup& queries, const float* limits, Sink* sinks);

struct PackedKernels {
    int max_group;            // queries that one call takes, 1 to kMaxPackedGroup
    bool tiled;               // a query's words lie together, as tile_words says
    PackedScan scan;          // for metrics whose score is the product
    PackedScan scan_shifted;  // where a panel also holds what is added
};

extern const PackedKernels packed_bfloat16_scalar, packed_int8_scalar;
#if HEADRACE_X86
extern const PackedKernels packed_bfloat16_avx2, packed_int8_avx2, packed_int8_avxvnni;
extern const PackedKernels packed_bfloat16_avx512, packed_int8_avx512;
extern const PackedKernels packed_bfloat16_avx512bf16, packed_int8_avx512vnni;
extern const PackedKernels packed_bfloat16_amx, packed_int8_amx;
#endif

}  // namespace hr
