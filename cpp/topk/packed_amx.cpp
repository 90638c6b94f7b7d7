#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#define HEADRACE_SIMD_AVX512 1
#include "core/amx_tiles.h"
#include "topk/packed_kernel.h"

namespace hr {
namespace {

constexpr int kSide = kTileSide;   // rows of a tile, and its columns of one word
constexpr int kBlock = 2 * kSide;  // queries that are multiplied together, by the kPanel items of a panel

// Tile registers: kSums + 2 i + j has the products of query tile i and item tile j.
constexpr int kSums = 0, kQueries = 4, kItems = 6;

struct Bfloat16 {
    static constexpr bool kScaled = false;
    template <int C, int A, int B>
    static void multiply() {
        tile_dpbf16ps<C, A, B>();
    }
    static Vec floats(const uint32_t* sums) { return Vec::load(reinterpret_cast<const float*>(sums)); }
};

struct Int8 {
    static constexpr bool kScaled = true;
    template <int C, int A, int B>
    static void multiply() {
        tile_dpbsud<C, A, B>();
    }
    static Vec floats(const uint32_t* sums) { return {_mm512_cvtepi32_ps(_mm512_load_si512(sums))}; }
};

struct Block {
    int count;
    const uint32_t* words;
    int64_t row_bytes;  // of a query's words
    const float* scales;
    const float* limits;
    Sink* sinks;
    alignas(64) int32_t starts[kBlock][kSide];
    alignas(64) float reduced[kBlock];
};

TileShapes shapes_of(int count, int64_t steps) {
    const int depth = steps < kSide ? static_cast<int>(steps) : kSide;
    TileShapes shapes;
    for (int i = 0; i < 2; ++i) {
        const int left = count - i * kSide, rows = left < 0 ? 0 : left < kSide ? left : kSide;
        shapes.set(kSums + 2 * i, rows, 64);
        shapes.set(kSums + 2 * i + 1, rows, 64);
        shapes.set(kQueries + i, rows, 4 * depth);
        shapes.set(kItems + i, depth, 64);
    }
    return shapes;
}

template <int kHigh>
inline void load_queries(const Block& block, int64_t first) {
    tile_load<kQueries>(block.words + first, block.row_bytes);
    if (kHigh == 2) tile_load<kQueries + 1>(block.words + first + block.row_bytes / 4 * kSide, block.row_bytes);
}

template <bool kScaled, int kHigh>
inline void start_sums(const Block& block) {
    if constexpr (kScaled) {
        tile_load<kSums>(block.starts, 64);
        tile_load<kSums + 1>(block.starts, 64);
        if (kHigh == 2) tile_load<kSums + 2>(block.starts + kSide, 64);
        if (kHigh == 2) tile_load<kSums + 3>(block.starts + kSide, 64);
    } else {
        tile_zero<kSums>();
        tile_zero<kSums + 1>();
        if (kHigh == 2) tile_zero<kSums + 2>();
        if (kHigh == 2) tile_zero<kSums + 3>();
    }
}

template <class Numbers, int kHigh>
inline void multiply(const uint32_t* x, int64_t steps, const Block& block) {
    start_sums<Numbers::kScaled, kHigh>(block);
    for (int64_t step = 0; step < steps; step += kSide) {
        // What is left fills no tile: the panel's last rows, some of them for the second time, by queries that are zero
        // there. Nothing beyond the panel is read.
        const int64_t first = steps - step < kSide && steps > kSide ? steps - kSide : step;
        tile_load<kItems>(x + first * kPanel, kPanel * 4);
        tile_load<kItems + 1>(x + first * kPanel + kSide, kPanel * 4);
        if (steps > kSide) load_queries<kHigh>(block, step);
        Numbers::template multiply<kSums, kQueries, kItems>();
        Numbers::template multiply<kSums + 1, kQueries, kItems + 1>();
        if constexpr (kHigh == 2) {
            Numbers::template multiply<kSums + 2, kQueries + 1, kItems>();
            Numbers::template multiply<kSums + 3, kQueries + 1, kItems + 1>();
        }
    }
}

template <int kHigh>
inline void store_sums(uint32_t (*sums)[kPanel]) {
    tile_store<kSums>(sums[0], kPanel * 4);
    tile_store<kSums + 1>(sums[0] + kSide, kPanel * 4);
    if (kHigh == 2) tile_store<kSums + 2>(sums[kSide], kPanel * 4);
    if (kHigh == 2) tile_store<kSums + 3>(sums[kSide] + kSide, kPanel * 4);
}

// Scores of one query and the items of a panel, and which of them reach its limit.
template <class Numbers, bool kShifted>
struct Scores {
    // Without shifts, the query's scale is on the limit's side.
    static constexpr bool kReduced = Numbers::kScaled && !kShifted;
    Vec scales[2], shifts[2];

    explicit Scores(const float* heads) {
        constexpr int kAfterScales = Numbers::kScaled ? kPanel : 0;
        for (int v = 0; v < 2; ++v) scales[v] = Vec::load(heads + v * kSide);
        for (int v = 0; v < 2; ++v) shifts[v] = Vec::load(heads + kAfterScales + v * kSide);
    }
    Vec of(const uint32_t* sums, const Block& block, int m, int v) const {
        Vec score = Numbers::floats(sums + v * kSide);
        if (Numbers::kScaled) score = score * scales[v];
        if (Numbers::kScaled && kShifted) score = score * Vec::all(block.scales[m]);
        if (kShifted) score = score + shifts[v];
        return score;
    }
    static __mmask16 reached(Vec score, const Block& block, int m) {
        const float limit = kReduced ? block.reduced[m] : block.limits[m];
        return _mm512_cmp_ps_mask(score.v, _mm512_set1_ps(limit), _CMP_GE_OQ);
    }
};

// Computes all of it again, so that the usual way needs nothing but one flag.
template <class Numbers, bool kShifted>
__attribute__((noinline)) void append_reached(const PackedTile& tile, int p, const uint32_t* sums, const Block& block,
                                              int m) {
    const Scores<Numbers, kShifted> scores(reinterpret_cast<const float*>(tile.panels + p * tile.panel_bytes));
    Vec score[2];
    uint32_t admitted = 0;
    for (int v = 0; v < 2; ++v) {
        score[v] = scores.of(sums, block, m, v);
        admitted |= uint32_t{scores.reached(score[v], block, m)} << (v * kSide);
        if (scores.kReduced) score[v] = score[v] * Vec::all(block.scales[m]);
    }
    append_lanes<2>(score, admitted & tile.allowed[p], tile.first_row + p * kPanel, block.sinks[m]);
}

template <class Numbers, bool kShifted>
inline void admit(const PackedTile& tile, int p, const uint32_t (*sums)[kPanel], const Block& block) {
    const Scores<Numbers, kShifted> scores(reinterpret_cast<const float*>(tile.panels + p * tile.panel_bytes));
    for (int m = 0; m < block.count; ++m) {
        const __mmask16 low = scores.reached(scores.of(sums[m], block, m, 0), block, m);
        const __mmask16 high = scores.reached(scores.of(sums[m], block, m, 1), block, m);
        if (!__builtin_expect(_mm512_kortestz(low, high), 1))
            append_reached<Numbers, kShifted>(tile, p, sums[m], block, m);
    }
}

template <class Numbers, bool kShifted, int kHigh>
void scan_block(const PackedTile& tile, const Block& block) {
    alignas(64) uint32_t sums[kBlock][kPanel];
    const int heads = (Numbers::kScaled + kShifted) * kPanel;
    if (tile.steps <= kSide) load_queries<kHigh>(block, 0);
    int before = -1;
    for (int p = 0; p < tile.n_panels; ++p) {
        if (!tile.allowed[p]) continue;
        multiply<Numbers, kHigh>(reinterpret_cast<const uint32_t*>(tile.panels + p * tile.panel_bytes) + heads,
                                 tile.steps, block);
        // While the tiles multiply this panel, vectors look at the sums of the one before.
        if (before >= 0) admit<Numbers, kShifted>(tile, before, sums, block);
        store_sums<kHigh>(sums);
        before = p;
    }
    if (before >= 0) admit<Numbers, kShifted>(tile, before, sums, block);
}

// Limits for scores that lack the query's scale: with the rounding of both sides, no score at its limit is missed.
void reduce_limits(Block& block) {
    constexpr float kTiny = 0x1p-124f, kInfinite = __builtin_inff();
    for (int m = 0; m < block.count; ++m) {
        const float scale = block.scales[m], limit = block.limits[m], quotient = (limit - kTiny) / scale;
        const float below = quotient - __builtin_fabsf(quotient) * 0x1p-21f - kTiny;
        block.reduced[m] = scale > 0 ? below : limit <= 0 ? -kInfinite : kInfinite;
    }
}

template <class Numbers, bool kShifted>
void scan_tiles(const PackedTile& tile, const PackedGroup& queries, const float* limits, Sink* sinks) {
    const int64_t row = (tile.steps + kSide - 1) / kSide * kSide;
    int configured = 0;
    for (int first = 0; first < queries.size; first += kBlock) {
        Block block;
        block.count = queries.size - first < kBlock ? queries.size - first : kBlock;
        block.words = queries.words + first * row;
        block.row_bytes = row * 4;
        block.scales = queries.scales + first;
        block.limits = limits + first;
        block.sinks = sinks + first;
        if (Numbers::kScaled) {
            for (int m = 0; m < block.count; ++m)
                _mm512_store_si512(block.starts[m], _mm512_set1_epi32(queries.starts[first + m]));
            if (!kShifted) reduce_limits(block);
        }
        if (block.count != configured) tile_configure(shapes_of(block.count, tile.steps));
        configured = block.count;
        if (block.count > kSide)
            scan_block<Numbers, kShifted, 2>(tile, block);
        else
            scan_block<Numbers, kShifted, 1>(tile, block);
    }
    // Other code of the process has tiles of its own shapes, and idle ones are cheaper to switch away from.
    tile_release();
}

template <class Numbers>
constexpr PackedKernels kKernels{kMaxPackedGroup, QueryOrder::kTiles, scan_tiles<Numbers, false>,
                                 scan_tiles<Numbers, true>};

}  // namespace

#if HEADRACE_AMX_MODEL
extern const PackedKernels packed_bfloat16_amx_model, packed_int8_amx_model;
constinit const PackedKernels packed_bfloat16_amx_model = kKernels<Bfloat16>;
constinit const PackedKernels packed_int8_amx_model = kKernels<Int8>;
#else
constinit const PackedKernels packed_bfloat16_amx = kKernels<Bfloat16>;
constinit const PackedKernels packed_int8_amx = kKernels<Int8>;
#endif

}  // namespace hr
