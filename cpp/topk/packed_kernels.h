// What each instruction set provides to scan a catalogue packed in low precision.
#pragma once

#include <cstddef>
#include <cstdint>

#include "topk/kernels.h"

namespace hr {

struct PackedTile {
    const std::byte* panels;
    int64_t panel_bytes, steps;
    const uint32_t* allowed;  // for each panel: bit i set where item i may be returned to some query
    int n_panels;
    int32_t first_row;
};

// `group` queries: words [steps][group], and the scale and the start of each one's sum (int8).
struct PackedGroup {
    const uint32_t* words;
    const float* scales;
    const int32_t* starts;
    int size;
};

// Scores the tile's items and appends what reaches each query's limit.
using PackedScan = void (*)(const PackedTile& tile, const PackedGroup& queries, const float* limits, Sink* sinks);

struct PackedKernels {
    int max_group;            // queries that one call takes, 1 to kMaxGroup
    PackedScan scan;          // for metrics whose score is the product
    PackedScan scan_shifted;  // where a panel also holds what is added
};

extern const PackedKernels packed_bfloat16_scalar, packed_int8_scalar;
#if HEADRACE_X86
extern const PackedKernels packed_bfloat16_avx2, packed_int8_avx2;
extern const PackedKernels packed_bfloat16_avx512, packed_int8_avx512;
extern const PackedKernels packed_bfloat16_avx512bf16, packed_int8_avx512vnni;
#endif

}  // namespace hr
