// What each instruction set provides to scan a catalogue packed in low precision.
#pragma once

#include <cstddef>
#include <cstdint>

#include "topk/kernels.h"

namespace hr {

constexpr int kMaxPackedGroup = 256;
constexpr int kTileSide = 16;  // words in a row of an AMX tile

// How the words of a group of queries lie.
enum class QueryOrder {
    kSteps,   // [steps][size]
    kHalves,  // the same of two words each, bytes 0 and 2, then 1 and 3, as 16 bits; or its two numbers as float32
    kTiles,   // [size][steps], zeros after them up to whole rows of kTileSide. Where the last of several rows is not
              // full, its zeros come first.
};

struct PackedTile {
    const std::byte* panels;
    int64_t panel_bytes, steps;
    const uint32_t* allowed;  // for each panel: bit i set where item i may be returned to some query
    int n_panels;
    int32_t first_row;
};

// `size` queries: their words, and the scale and the start of each one's sum (int8).
struct PackedGroup {
    const uint32_t* words;
    const float* scales;
    const int32_t* starts;
    int size;
};

// Scores the tile's items and appends what reaches each query's limit.
using PackedScan = void (*)(const PackedTile& tile, const PackedGroup& queries, const float* limits, Sink* sinks);

struct PackedKernels {
    int max_group;  // queries that one call takes, 1 to kMaxPackedGroup
    QueryOrder order;
    PackedScan scan;          // for metrics whose score is the product
    PackedScan scan_shifted;  // where a panel also holds what is added
};

extern const PackedKernels packed_bfloat16_scalar, packed_int8_scalar;
extern const PackedKernels packed_bfloat16_avx2, packed_int8_avx2, packed_int8_avxvnni;
extern const PackedKernels packed_bfloat16_avx512, packed_int8_avx512;
extern const PackedKernels packed_bfloat16_avx512bf16, packed_int8_avx512vnni;
extern const PackedKernels packed_bfloat16_amx, packed_int8_amx;

}  // namespace hr
