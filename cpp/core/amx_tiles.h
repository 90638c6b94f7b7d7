// AMX tile registers, eight of up to 16 rows of 64 bytes. Only files with the suffix _amx may include this.
//
// With HEADRACE_AMX_MODEL the same functions are a model in plain C++, for tests on machines without AMX.
#pragma once

#include <cstdint>

namespace hr {
namespace {

// What `ldtilecfg` reads. A tile of no rows is left out.
struct alignas(64) TileShapes {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};

    void set(int tile, int n_rows, int n_bytes) {
        rows[tile] = static_cast<uint8_t>(n_rows);
        row_bytes[tile] = static_cast<uint16_t>(n_rows ? n_bytes : 0);
    }
};
static_assert(sizeof(TileShapes) == 64);

}  // namespace
}  // namespace hr

#if HEADRACE_AMX_MODEL
#include "amx_model.h"
#else

namespace hr {
namespace {

// Not GCC's intrinsics: they take no template's tile number and do not say that they read memory.
inline void tile_configure(const TileShapes& shapes) { asm volatile("ldtilecfg %0" ::"m"(shapes)); }
inline void tile_release() { asm volatile("tilerelease"); }

template <int T>
inline void tile_zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(T));
}

// Rows lie `stride` bytes apart.
template <int T>
inline void tile_load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(T) : "memory");
}

template <int T>
inline void tile_store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(T) : "memory");
}

// C += A B, four bytes to a word: A signed, B unsigned.
template <int C, int A, int B>
inline void tile_dpbsud() {
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}

// The same, two bfloat16 to a word.
template <int C, int A, int B>
inline void tile_dpbf16ps() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}

}  // namespace
}  // namespace hr

#endif
