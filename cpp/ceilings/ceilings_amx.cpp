#include <immintrin.h>

#include "ceilings/kernels.h"

namespace {

// Tiles 0 to 5 are sums, 6 and 7 the factors; each is 16 rows of 64 bytes.
constexpr int kSums = 6;

struct alignas(64) TileConfig {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

struct alignas(64) Tile {
    uint16_t pairs[512];
};

constexpr Tile filled_with(uint16_t pair) {
    Tile tile{};
    for (uint16_t& p : tile.pairs) p = pair;
    return tile;
}

// Constants with an address: GCC's intrinsics do not tell the compiler how much of them they read.
constexpr TileConfig kConfig;
constexpr Tile kHalves = filled_with(0x3F00), kOnes = filled_with(0x0101);

void start(const Tile& factor) {
    _tile_loadconfig(&kConfig);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_loadd(6, &factor, 64);
    _tile_loadd(7, &factor, 64);
}

double finish() {
    alignas(64) float sums[16][16];
    _tile_stored(0, sums, 64);
    _tile_release();
    return sums[0][0];
}

double bfloat16_products(int64_t steps) {
    start(kHalves);
    for (; steps > 0; --steps) {
        _tile_dpbf16ps(0, 6, 7);
        _tile_dpbf16ps(1, 6, 7);
        _tile_dpbf16ps(2, 6, 7);
        _tile_dpbf16ps(3, 6, 7);
        _tile_dpbf16ps(4, 6, 7);
        _tile_dpbf16ps(5, 6, 7);
    }
    return finish();
}

double int8_products(int64_t steps) {
    start(kOnes);
    for (; steps > 0; --steps) {
        _tile_dpbusd(0, 6, 7);
        _tile_dpbusd(1, 6, 7);
        _tile_dpbusd(2, 6, 7);
        _tile_dpbusd(3, 6, 7);
        _tile_dpbusd(4, 6, 7);
        _tile_dpbusd(5, 6, 7);
    }
    return finish();
}

constexpr hr::MatrixLoop kBfloat16{bfloat16_products, 2.0 * 16 * 16 * 32 * kSums, "AMX tdpbf16ps"};
constexpr hr::MatrixLoop kInt8{int8_products, 2.0 * 16 * 16 * 64 * kSums, "AMX tdpbusd"};

}  // namespace

constinit const hr::MatrixLoop hr::bfloat16_loop_amx = kBfloat16;
constinit const hr::MatrixLoop hr::int8_loop_amx = kInt8;
