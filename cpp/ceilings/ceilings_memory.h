// The memory loops, for the vector width of the including file.
#pragma once

#include "ceilings/ceilings_vectors.h"
#include "ceilings/kernels.h"

namespace hr {
namespace {

constexpr int kUnroll = 8;

inline uint64_t fold(const U64* sums) {
    U64 all = sums[0];
    for (int i = 1; i < kUnroll; ++i) all += sums[i];
    uint64_t out = 0;
    for (int i = 0; i < kBytes / 8; ++i) out += all[i];
    return out;
}

uint64_t read_in_order(const void* data, int64_t bytes) {
    const U64* at = static_cast<const U64*>(data);
    U64 sums[kUnroll] = {};
    for (const U64* end = at + bytes / kBytes; at != end; at += kUnroll)
        for (int i = 0; i < kUnroll; ++i) sums[i] += at[i];
    return fold(sums);
}

void stream_copy(void* to, const void* from, int64_t bytes) {
    U64* out = static_cast<U64*>(to);
    const U64* in = static_cast<const U64*>(from);
    for (int64_t i = 0; i < bytes / kBytes; i += 4)
        for (int j = 0; j < 4; ++j) stream(out + i + j, in[i + j]);
#if HEADRACE_X86
    _mm_sfence();
#endif
}

// A hash of the counter: the places are independent of each other and of what was read, so the machine may overlap as
// many reads as it can.
inline uint64_t place(int64_t counter, int64_t rows) {
    uint64_t x = static_cast<uint64_t>(counter) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93u;
    return (x >> 32) * static_cast<uint64_t>(rows) >> 32;
}

template <int kRowBytes, int kAhead>
uint64_t read_rows(const void* data, int64_t rows, int64_t first, int64_t count) {
    constexpr int kVectors = kRowBytes / kBytes;
    U64 sums[kUnroll] = {};
    for (int64_t i = first; i < first + count; ++i) {
        if constexpr (kAhead > 0) {
            const char* soon = static_cast<const char*>(data) + place(i + kAhead, rows) * kRowBytes;
            for (int line = 0; line < kRowBytes; line += 64) __builtin_prefetch(soon + line);
        }
        const U64* row = static_cast<const U64*>(data) + place(i, rows) * kVectors;
        for (int j = 0; j < kVectors; ++j) sums[j % kUnroll] += row[j];
    }
    return fold(sums);
}

constexpr MemoryLoops memory_loops(const char* how) {
    return {read_in_order, stream_copy, read_rows<64, 0>, read_rows<64, 32>, read_rows<256, 0>, read_rows<256, 8>, how};
}

}  // namespace
}  // namespace hr
