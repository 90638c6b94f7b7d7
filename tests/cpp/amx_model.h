// A model of AMX tile registers for core/amx_tiles.h, after the operations in Intel's manual (SDM, volume 2). Where the
// processor would fault it prints why and aborts.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "core/amx_tiles.h"

namespace hr {

struct AmxModel {
    static constexpr int kTiles = 8, kRows = 16, kBytes = 64;
    bool configured;
    int rows[kTiles], row_bytes[kTiles];
    uint8_t data[kTiles][kRows][kBytes];
    long long products;  // tile products since the thread began
};

// One set of registers per thread, for the kernels and for the test that looks at them.
inline constinit thread_local AmxModel amx_model{};

namespace {

inline void amx_must(bool right, const char* what) {
    if (right) return;
    std::fprintf(stderr, "AMX model: the processor would fault: %s\n", what);
    std::abort();
}

inline void tile_configure(const TileShapes& shapes) {
    amx_must(reinterpret_cast<uintptr_t>(&shapes) % 64 == 0, "not a fault, but a split line: shapes not aligned");
    amx_must(shapes.palette == 1 && shapes.start_row == 0, "palette");
    for (uint8_t byte : shapes.reserved) amx_must(byte == 0, "reserved bytes");
    amx_model.configured = true;
    std::memset(amx_model.data, 0, sizeof amx_model.data);
    for (int t = 0; t < 16; ++t) {
        amx_must(t < AmxModel::kTiles || (!shapes.rows[t] && !shapes.row_bytes[t]), "tile beyond the palette");
        amx_must(shapes.rows[t] <= AmxModel::kRows && shapes.row_bytes[t] <= AmxModel::kBytes, "shape too large");
        amx_must(!shapes.rows[t] == !shapes.row_bytes[t], "rows without bytes, or bytes without rows");
        if (t >= AmxModel::kTiles) continue;
        amx_model.rows[t] = shapes.rows[t];
        amx_model.row_bytes[t] = shapes.row_bytes[t];
    }
}

inline void tile_release() {
    amx_model.configured = false;
    std::memset(amx_model.data, 0, sizeof amx_model.data);
}

inline void amx_must_be_there(int tile) {
    amx_must(amx_model.configured, "tiles are not configured");
    amx_must(tile >= 0 && tile < AmxModel::kTiles && amx_model.rows[tile] > 0, "tile is not configured");
}

template <int T>
inline void tile_zero() {
    amx_must_be_there(T);
    std::memset(amx_model.data[T], 0, sizeof amx_model.data[T]);
}

template <int T>
inline void tile_load(const void* from, int64_t stride) {
    tile_zero<T>();
    for (int r = 0; r < amx_model.rows[T]; ++r)
        std::memcpy(amx_model.data[T][r], static_cast<const char*>(from) + r * stride,
                    static_cast<size_t>(amx_model.row_bytes[T]));
}

template <int T>
inline void tile_store(void* to, int64_t stride) {
    amx_must_be_there(T);
    for (int r = 0; r < amx_model.rows[T]; ++r)
        std::memcpy(static_cast<char*>(to) + r * stride, amx_model.data[T][r],
                    static_cast<size_t>(amx_model.row_bytes[T]));
}

template <int C, int A, int B>
inline void amx_must_match() {
    for (int tile : {C, A, B}) {
        amx_must_be_there(tile);
        amx_must(amx_model.row_bytes[tile] % 4 == 0, "a row is not whole words");
    }
    amx_must(C != A && C != B && A != B, "a tile twice");
    amx_must(amx_model.rows[C] == amx_model.rows[A], "rows of the sum and of the left factor");
    amx_must(amx_model.row_bytes[C] == amx_model.row_bytes[B], "columns of the sum and of the right factor");
    amx_must(amx_model.row_bytes[A] == amx_model.rows[B] * 4, "columns of the left and rows of the right factor");
    ++amx_model.products;
}

template <int C, int A, int B>
inline void tile_dpbsud() {
    amx_must_match<C, A, B>();
    for (int m = 0; m < amx_model.rows[C]; ++m)
        for (int n = 0; n < amx_model.row_bytes[C] / 4; ++n) {
            uint32_t sum;  // wraps, as the instruction does
            std::memcpy(&sum, amx_model.data[C][m] + 4 * n, 4);
            for (int k = 0; k < amx_model.rows[B]; ++k)
                for (int i = 0; i < 4; ++i)
                    sum += static_cast<uint32_t>(static_cast<int8_t>(amx_model.data[A][m][4 * k + i]) *
                                                 int{amx_model.data[B][k][4 * n + i]});
            std::memcpy(amx_model.data[C][m] + 4 * n, &sum, 4);
        }
}

inline float amx_flushed(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }

inline float amx_bfloat16(const uint8_t* at) {
    const uint32_t bits = static_cast<uint32_t>(at[0]) << 16 | static_cast<uint32_t>(at[1]) << 24;
    float value;
    std::memcpy(&value, &bits, 4);
    return amx_flushed(value);
}

// Even and odd terms have a sum each, from zero, which are added to each other and then to what was there.
template <int C, int A, int B>
inline void tile_dpbf16ps() {
    amx_must_match<C, A, B>();
    for (int m = 0; m < amx_model.rows[C]; ++m)
        for (int n = 0; n < amx_model.row_bytes[C] / 4; ++n) {
            float halves[2] = {0.0f, 0.0f}, sum;
            for (int k = 0; k < amx_model.rows[B]; ++k)
                for (int i = 0; i < 2; ++i)
                    halves[i] = amx_flushed(std::fma(amx_bfloat16(amx_model.data[A][m] + 4 * k + 2 * i),
                                                     amx_bfloat16(amx_model.data[B][k] + 4 * n + 2 * i), halves[i]));
            std::memcpy(&sum, amx_model.data[C][m] + 4 * n, 4);
            sum = amx_flushed(amx_flushed(sum) + amx_flushed(halves[0] + halves[1]));
            std::memcpy(amx_model.data[C][m] + 4 * n, &sum, 4);
        }
}

}  // namespace
}  // namespace hr
