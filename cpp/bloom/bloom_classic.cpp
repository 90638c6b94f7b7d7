// The classic layout (Bloom, CACM 1970): `hashes` independent bits of the whole row, and no block to fetch at once.
#include "bloom/bloom_hash.h"
#include "bloom/kernels.h"

namespace hr {
namespace {

constexpr int kMaxHashes = 64;

// Bit positions of a key: the 32-bit halves, high first, of SplitMix64's stream seeded with the key's hash.
// Independent draws: double hashing would raise the rate of small rows, where its few pairs collide.
void positions_of(uint64_t hashed, uint64_t row_bits, int hashes, uint64_t* out) {
    uint64_t state = hashed, draw = 0;
    for (int j = 0; j < hashes; ++j) {
        if (j % 2 == 0) draw = mix(state += kGolden);
        const uint64_t half = j % 2 == 0 ? draw >> 32 : draw & 0xFFFFFFFFu;
        out[j] = (half * row_bits) >> 32;
    }
}

bool holds(const uint64_t* row, const uint64_t* position, int hashes) {
    for (int j = 0; j < hashes; ++j)
        if (!(__atomic_load_n(row + position[j] / 64, __ATOMIC_RELAXED) >> (position[j] % 64) & 1)) return false;
    return true;
}

bool contains_classic(const hr_bloom_bank& bank, const int64_t* rows, int64_t fan, const int64_t* keys, int64_t n,
                      uint8_t* seen) {
    const auto row_bits = static_cast<uint64_t>(bank.words) * 64;
    bool bad = false;
    uint64_t position[kMaxHashes];
    for (int64_t i = 0; i < n; ++i) {
        positions_of(hash_key(keys[i]), row_bits, bank.hashes, position);
        bool hit = false;
        for (int64_t f = 0; f < fan; ++f) {
            const int64_t row = rows[i * fan + f];
            const bool wrong = row_is_bad(row, bank.filters);
            bad |= wrong;
            hit = hit || (row >= 0 && !wrong && holds(bank.bits + row * bank.words, position, bank.hashes));
        }
        seen[i] = hit;
    }
    return !bad;
}

void insert_classic(const hr_bloom_bank& bank, const int64_t* rows, const int64_t* keys, int64_t n) {
    const auto row_bits = static_cast<uint64_t>(bank.words) * 64;
    uint64_t position[kMaxHashes];
    for (int64_t i = 0; i < n; ++i) {
        if (static_cast<uint64_t>(rows[i]) >= static_cast<uint64_t>(bank.filters)) continue;
        positions_of(hash_key(keys[i]), row_bits, bank.hashes, position);
        uint64_t* row = bank.bits + rows[i] * bank.words;
        for (int j = 0; j < bank.hashes; ++j) {
            uint64_t* word = row + position[j] / 64;
            const uint64_t bit = uint64_t{1} << (position[j] % 64);
            if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & bit)) __atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
        }
    }
}

void any_classic(const hr_bloom_bank& bank, const uint64_t* const* filters, int64_t count, const uint64_t* hashed,
                 int64_t n, uint8_t* seen) {
    uint64_t position[kMaxHashes];
    for (int64_t i = 0; i < n; ++i) {
        positions_of(hashed[i], static_cast<uint64_t>(bank.words) * 64, bank.hashes, position);
        for (int64_t f = 0; f < count && !seen[i]; ++f) seen[i] = holds(filters[f], position, bank.hashes);
    }
}

constexpr BloomKernels kKernels{insert_classic, contains_classic, any_classic};

}  // namespace
}  // namespace hr

constinit const hr::BloomKernels hr::bloom_kernels_classic = kKernels;
