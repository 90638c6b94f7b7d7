// The loops that each instruction set brings.
#pragma once

#include <cstdint>

namespace hr {

// run(steps) does steps * operations operations; what it returns depends on all of them.
struct MatrixLoop {
    double (*run)(int64_t steps);
    double operations;
    const char* how;
};

// Reads `count` rows at the pseudo-random places that the numbers from `first` on stand for.
using RandomLoop = uint64_t (*)(const void* data, int64_t rows, int64_t first, int64_t count);

struct MemoryLoops {
    uint64_t (*read)(const void* data, int64_t bytes);          // bytes: a multiple of 512
    void (*stream)(void* to, const void* from, int64_t bytes);  // likewise; stores that pass the caches by
    RandomLoop lines, lines_ahead;                              // 64 bytes; the second asks for them in advance
    RandomLoop rows, rows_ahead;                                // 256 bytes
    const char* how;
};

struct CeilingLoops {
    MemoryLoops memory;
    MatrixLoop float32, float64, bfloat16, int8;
};

extern const CeilingLoops ceiling_loops_scalar, ceiling_loops_avx2, ceiling_loops_avx512;

extern const MatrixLoop bfloat16_loop_avx512bf16, bfloat16_loop_amx;
extern const MatrixLoop int8_loop_avxvnni, int8_loop_avx512vnni, int8_loop_amx;

}  // namespace hr
