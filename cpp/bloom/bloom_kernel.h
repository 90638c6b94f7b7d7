// The block layout, built once for each instruction set.
//
// A key's 64-bit hash splits in two: the high half picks the block, the low half, times one odd salt a lane, picks a
// bit in each of the eight 32-bit lanes (the salts and the multiply-shift are Parquet's split-block filter). With
// fewer than eight hashes the lanes used run on from lane (high half & 7), so that all lanes fill alike.
#include <cstdint>

#include "bloom/bloom_hash.h"
#include "bloom/kernels.h"

#if HEADRACE_SIMD_AVX512 || HEADRACE_SIMD_AVX2
#include <immintrin.h>
#endif

namespace hr {
namespace {

constexpr int kBlockWords = 4;
constexpr int kLanes = 8;
constexpr int kTile = 32;  // keys whose blocks are fetched together

alignas(32) constexpr uint32_t kSalt[kLanes] = {0x47b6137bu, 0x44974d91u, 0x8824ad5bu, 0xa2b7289du,
                                                0x705495c7u, 0x2df1424bu, 0x9efc4947u, 0x5c6bfb31u};
alignas(32) const uint64_t kNothing[kBlockWords] = {0, 0, 0, 0};

#if HEADRACE_SIMD_AVX512 || HEADRACE_SIMD_AVX2

struct Mask {
    __m256i bits;
};

inline Mask mask_of(uint64_t hash, int hashes) {
    const __m256i salt = _mm256_load_si256(reinterpret_cast<const __m256i*>(kSalt));
    const __m256i low = _mm256_set1_epi32(static_cast<int>(hash));
    __m256i one = _mm256_set1_epi32(1);
    if (hashes < kLanes) {
        const __m256i first = _mm256_set1_epi32(static_cast<int>(hash >> 32));
        const __m256i lane = _mm256_sub_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), first);
        const __m256i turn = _mm256_and_si256(lane, _mm256_set1_epi32(kLanes - 1));
        one = _mm256_srli_epi32(_mm256_cmpgt_epi32(_mm256_set1_epi32(hashes), turn), 31);
    }
    return {_mm256_sllv_epi32(one, _mm256_srli_epi32(_mm256_mullo_epi32(low, salt), 27))};
}

inline bool holds(const uint64_t* block, const Mask& mask) {
    return _mm256_testc_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(block)), mask.bits);
}

inline void words_of(const Mask& mask, uint64_t* out) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), mask.bits);
}

#else

struct Mask {
    uint64_t word[kBlockWords];
};

inline Mask mask_of(uint64_t hash, int hashes) {
    const auto low = static_cast<uint32_t>(hash);
    const auto first = static_cast<uint32_t>(hash >> 32);
    Mask mask{};
    for (int lane = 0; lane < kLanes; ++lane) {
        const uint64_t used = ((lane - first) & (kLanes - 1)) < static_cast<uint32_t>(hashes);
        mask.word[lane / 2] |= used << (lane % 2 * 32 + ((low * kSalt[lane]) >> 27));
    }
    return mask;
}

inline bool holds(const uint64_t* block, const Mask& mask) {
    uint64_t missing = 0;
    for (int w = 0; w < kBlockWords; ++w) missing |= mask.word[w] & ~__atomic_load_n(block + w, __ATOMIC_RELAXED);
    return missing == 0;
}

inline void words_of(const Mask& mask, uint64_t* out) {
    for (int w = 0; w < kBlockWords; ++w) out[w] = mask.word[w];
}

#endif

struct Tile {
    uint64_t hash[kTile];
    int64_t block[kTile];  // first word of the key's block within its row
};

inline void hash_tile(const int64_t* keys, int64_t count, uint64_t blocks, Tile& tile) {
    for (int64_t i = 0; i < count; ++i) {
        const uint64_t hash = hash_key(keys[i]);
        tile.hash[i] = hash;
        tile.block[i] = static_cast<int64_t>(((hash >> 32) * blocks) >> 32) * kBlockWords;
    }
}

inline const uint64_t* block_of(const hr_bloom_bank& bank, int64_t row, int64_t block) {
    const bool inside = static_cast<uint64_t>(row) < static_cast<uint64_t>(bank.filters);
    return inside ? bank.bits + row * bank.words + block : kNothing;
}

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Two tiles in turn: the next tile's blocks are on their way while this one's are tested.
template <class Probe>
inline void for_tiles(const hr_bloom_bank& bank, const int64_t* rows, int64_t fan, const int64_t* keys, int64_t n,
                      Probe probe) {
    const auto blocks = static_cast<uint64_t>(bank.words / kBlockWords);
    Tile tiles[2];
    auto fetch = [&](int64_t start) {
        Tile& tile = tiles[start / kTile % 2];
        const int64_t count = least(kTile, n - start);
        hash_tile(keys + start, count, blocks, tile);
        for (int64_t i = 0; i < count; ++i)
            for (int64_t f = 0; f < fan; ++f)
                __builtin_prefetch(block_of(bank, rows[(start + i) * fan + f], tile.block[i]));
    };
    if (n > 0) fetch(0);
    for (int64_t start = 0; start < n; start += kTile) {
        if (start + kTile < n) fetch(start + kTile);
        probe(start, least(kTile, n - start), tiles[start / kTile % 2]);
    }
}

bool contains_block(const hr_bloom_bank& bank, const int64_t* rows, int64_t fan, const int64_t* keys, int64_t n,
                    uint8_t* seen) {
    bool bad = false;
    for_tiles(bank, rows, fan, keys, n, [&](int64_t start, int64_t count, const Tile& tile) {
        for (int64_t i = 0; i < count; ++i) {
            const Mask mask = mask_of(tile.hash[i], bank.hashes);
            const int64_t* row = rows + (start + i) * fan;
            bool hit = false;
            for (int64_t f = 0; f < fan; ++f) {
                bad |= row_is_bad(row[f], bank.filters);
                hit |= holds(block_of(bank, row[f], tile.block[i]), mask);
            }
            seen[start + i] = hit;
        }
    });
    return !bad;
}

void insert_block(const hr_bloom_bank& bank, const int64_t* rows, const int64_t* keys, int64_t n) {
    for_tiles(bank, rows, 1, keys, n, [&](int64_t start, int64_t count, const Tile& tile) {
        for (int64_t i = 0; i < count; ++i) {
            const int64_t row = rows[start + i];
            if (static_cast<uint64_t>(row) >= static_cast<uint64_t>(bank.filters)) continue;
            const Mask mask = mask_of(tile.hash[i], bank.hashes);
            uint64_t* block = bank.bits + row * bank.words + tile.block[i];
            if (holds(block, mask)) continue;
            uint64_t words[kBlockWords];
            words_of(mask, words);
            for (int w = 0; w < kBlockWords; ++w)
                if (words[w] & ~__atomic_load_n(block + w, __ATOMIC_RELAXED))
                    __atomic_fetch_or(block + w, words[w], __ATOMIC_RELAXED);
        }
    });
}

// All keys ask the same few filters, so their blocks are soon in the cache: no fetching ahead.
void any_block(const hr_bloom_bank& bank, const uint64_t* const* filters, int64_t count, const uint64_t* hashed,
               int64_t n, uint8_t* seen) {
    const auto blocks = static_cast<uint64_t>(bank.words / kBlockWords);
    for (int64_t i = 0; i < n; ++i) {
        const Mask mask = mask_of(hashed[i], bank.hashes);
        const uint64_t block = ((hashed[i] >> 32) * blocks >> 32) * kBlockWords;
        bool hit = false;
        for (int64_t f = 0; f < count; ++f) hit |= holds(filters[f] + block, mask);
        seen[i] |= hit;
    }
}

constexpr BloomKernels kKernels{insert_block, contains_block, any_block};

}  // namespace
}  // namespace hr
