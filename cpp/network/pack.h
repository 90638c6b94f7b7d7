// Packed weights of programs in bfloat16: all weights, rounded, then the tiles of large layers.
//
// A tile is kTileOutputs outputs by kTileInputs inputs of a layer, zeros beyond them. Output o of it has the words
// 16 o to 16 o + 15, each two inputs after one another, the earlier in its low half. Tiles of the same outputs follow
// one another. So the words of a tile are the left factor of a tile product as they lie in memory.
#pragma once

#include <cstdint>

namespace hr {

constexpr int64_t kTileInputs = 32, kTileOutputs = 16;

// Numbers that `count` rounded weights take; the tiles behind them begin a cache line.
int64_t packed_weights(int64_t count);

// Numbers that the tiles of a layer take; 0 where they are not worth their while (see docs/kernels/network.md).
int64_t packed_layer(int64_t inputs, int64_t width);

}  // namespace hr
