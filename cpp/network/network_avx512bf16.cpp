#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#define HEADRACE_SIMD_AVX512 1
#include "network/pairs.h"

namespace hr {
namespace {

// Not the intrinsic: GCC 12 copies its sums around and spills them.
inline void add_pairs(Vec& sum, Vec x, Vec w) { asm("vdpbf16ps %2, %1, %0" : "+v"(sum.v) : "v"(x.v), "v"(w.v)); }

struct Vectors {
    static constexpr bool kWholeTiles = false;

    template <int O>
    static void tile(const Sum& s, int64_t o, float* out) {
        Vec sum[O][kBlockVecs];
        start_tile<O>(s, o, out, sum);
        for (const Term *term = s.terms, *end = term + s.count; term < end; ++term) {
            const float *x = term->x, *weight = term->weight;
            weight += o / kTileOutputs * tiles_of(term->inputs) * kTileSize + o % kTileOutputs * kTileWords;
            for (int64_t left = (term->inputs + 1) / 2; left > 0; left -= kTileWords, weight += kTileSize) {
                const float* last = weight + (left < kTileWords ? left : kTileWords);
                for (const float* w = weight; w < last; ++w, x += kBlock) {
                    Vec a[kBlockVecs];
                    for (int v = 0; v < kBlockVecs; ++v) a[v] = Vec::load(x + v * Vec::kLanes);
                    for (int i = 0; i < O; ++i) {
                        const Vec pair = Vec::all(w[i * kTileWords]);
                        for (int v = 0; v < kBlockVecs; ++v) add_pairs(sum[i][v], a[v], pair);
                    }
                }
            }
        }
        end_tile<O>(s, sum, out);
    }

    template <int O, class Between>
    static void tiles(const Sum& s, int64_t o, int64_t width, float* out, Between& between) {
        for (; o + O <= width; o += O) {
            tile<O>(s, o, out + o * kBlock);
            for (int t = 0; t < s.count; ++t) between();
        }
        if constexpr (O > 1)
            if (o < width) tiles<O / 2>(s, o, width, out, between);
    }

    template <class Between>
    static void add_up(const Sum& s, int64_t width, float* out, Between& between) {
        tiles<kTile>(s, 0, width, out, between);
    }
};

}  // namespace
}  // namespace hr

constinit const hr::NetworkKernels hr::network_rounded_avx512bf16 = kKernels<Paired<Vectors>>;
