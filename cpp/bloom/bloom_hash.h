// Hashing that every layout shares: fixed by the file format, equal to the reference bit by bit.
#pragma once

#include <cstdint>

namespace hr {
namespace {

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15u;

// The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014; constants of Stafford's "Mix13").
inline uint64_t mix(uint64_t x) {
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9u;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

inline uint64_t hash_key(int64_t key) { return mix(static_cast<uint64_t>(key) + kGolden); }

// -1 is allowed and means "no filter".
inline bool row_is_bad(int64_t row, int64_t filters) {
    return static_cast<uint64_t>(row) + 1 > static_cast<uint64_t>(filters);
}

}  // namespace
}  // namespace hr
