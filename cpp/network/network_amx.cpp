#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#define HEADRACE_SIMD_AVX512 1
#include "core/amx_tiles.h"
#include "network/pairs.h"

namespace hr {
namespace {

constexpr int kSide = kTileOutputs;
// Outputs that are multiplied together, by all candidates of a block.
constexpr int kGroup = 2 * kSide;
static_assert(kBlock == 2 * kSide);

// Tile registers: kSums + 2 i + j has the sums of output tile i and candidate tile j.
constexpr int kSums = 0, kWeights = 4, kColumns = 6;
// Bytes from one column to the next.
constexpr int kRow = 4 * kBlock;

// All of them whole, so that they are set up once a task: zeros fill up what layers do not.
inline TileShapes shapes() {
    TileShapes all;
    for (int tile = 0; tile < 8; ++tile) all.set(tile, kSide, 64);
    return all;
}

// What the first `count` outputs of a group start from. It is there before the products, so that each layer's sum
// begins with what the layer before left, not with what is left of that without its start.
template <int H>
inline void start_group(const Sum& s, int64_t o, int64_t count, const float* out, float* sums) {
    if (!s.bias && !s.held) {
        tile_zero<kSums>();
        tile_zero<kSums + 1>();
        if (H == 2) tile_zero<kSums + 2>();
        if (H == 2) tile_zero<kSums + 3>();
        return;
    }
    for (int64_t i = 0; i < H * kSide; ++i)
        for (int v = 0; v < kBlock; v += Vec::kLanes) {
            const Vec none = Vec::zero();
            const Vec start = i >= count ? none : s.bias ? Vec::all(s.bias[o + i]) : Vec::load(out + i * kBlock + v);
            start.store(sums + i * kBlock + v);
        }
    tile_load<kSums>(sums, kRow);
    tile_load<kSums + 1>(sums + kSide, kRow);
    if (H == 2) tile_load<kSums + 2>(sums + kSide * kBlock, kRow);
    if (H == 2) tile_load<kSums + 3>(sums + kSide * kBlock + kSide, kRow);
}

template <int H>
inline void multiply(const Term& term, int64_t o) {
    const int64_t count = tiles_of(term.inputs);
    const float *x = term.x, *weight = term.weight + o / kSide * count * kTileSize;
    for (int64_t k = 0; k < count; ++k, x += kTileWords * kBlock, weight += kTileSize) {
        tile_load<kColumns>(x, kRow);
        tile_load<kColumns + 1>(x + kSide, kRow);
        tile_load<kWeights>(weight, 64);
        tile_dpbf16ps<kSums, kWeights, kColumns>();
        tile_dpbf16ps<kSums + 1, kWeights, kColumns + 1>();
        if constexpr (H == 2) {
            tile_load<kWeights + 1>(weight + count * kTileSize, 64);
            tile_dpbf16ps<kSums + 2, kWeights + 1, kColumns>();
            tile_dpbf16ps<kSums + 3, kWeights + 1, kColumns + 1>();
        }
    }
}

// The first `count` outputs of a group, out of the tiles.
template <int H>
inline void end_group(bool relu, int64_t count, float* sums, float* out) {
    tile_store<kSums>(sums, kRow);
    tile_store<kSums + 1>(sums + kSide, kRow);
    if (H == 2) tile_store<kSums + 2>(sums + kSide * kBlock, kRow);
    if (H == 2) tile_store<kSums + 3>(sums + kSide * kBlock + kSide, kRow);
    for (int64_t i = 0; i < count * kBlock; i += Vec::kLanes) {
        const Vec sum = Vec::load(sums + i);
        (relu ? max(sum, Vec::zero()) : sum).store(out + i);
    }
}

template <int H>
inline void add_group(const Sum& s, int64_t o, int64_t count, float* sums, float* out) {
    start_group<H>(s, o, count, out, sums);
    for (int t = 0; t < s.count; ++t) multiply<H>(s.terms[t], o);
    end_group<H>(s.relu, count, sums, out);
}

struct Tiles {
    static constexpr bool kWholeTiles = true;

    template <class Between>
    static void add_up(const Sum& s, int64_t width, float* out, Between& between) {
        alignas(64) float sums[kGroup * kBlock];
        for (int64_t o = 0; o < width; o += kGroup) {
            const int64_t count = width - o < kGroup ? width - o : kGroup;
            float* to = out + o * kBlock;
            count > kSide ? add_group<2>(s, o, count, sums, to) : add_group<1>(s, o, count, sums, to);
            const int64_t turns = count / kTile + __builtin_popcountll(static_cast<uint64_t>(count % kTile));
            for (int64_t t = turns * s.count; t > 0; --t) between();
        }
    }
};

void tiled_candidates(const NetworkPlan& plan, const NetworkTask& task, float* scratch) {
    tile_configure(shapes());
    candidates<Paired<Tiles>>(plan, task, scratch);
    // Other code of the process has tiles of its own shapes, and idle ones are cheaper to switch away from.
    tile_release();
}

}  // namespace

#if HEADRACE_AMX_MODEL
extern const NetworkKernels network_rounded_amx_model;
constinit const NetworkKernels network_rounded_amx_model{request, tiled_candidates};
#else
constinit const NetworkKernels network_rounded_amx{request, tiled_candidates};
#endif

}  // namespace hr
