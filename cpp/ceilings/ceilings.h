// What this machine can do at most, measured: the limits that a kernel's speed is held against. One measurement runs at
// a time. Every thread works on memory that it touched first; a rate is that of the best round, from the start of the
// first thread to the end of the last.
#pragma once

#include <stdint.h>

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hr_pattern {
    HR_PATTERN_READ = 0,       // a sum over the memory, in order
    HR_PATTERN_COPY = 1,       // one half to the other, the better of ordinary and non-temporal stores
    HR_PATTERN_RANDOM = 2,     // 64-byte lines at independent pseudo-random places
    HR_PATTERN_RANDOM_ROW = 3  // 256-byte rows likewise
} hr_pattern;

typedef enum hr_number { HR_FLOAT32 = 0, HR_FLOAT64 = 1, HR_BFLOAT16 = 2, HR_INT8 = 3 } hr_number;

// rate: bytes per second of all threads together, read plus written. bytes: the memory of one thread, 4096 to 2^40;
// beyond 1 MiB whole mebibytes are used. threads: 1 to 1024, or 0 for the process setting. seconds: how long to go on
// measuring, above 0 and at most 60; at least one round runs. how (may be null): what was fastest, valid for ever.
HR_API hr_status hr_memory_ceiling(int pattern, int64_t bytes, int threads, double seconds, double* rate,
                                   const char** how);

// rate: operations per second of all threads together, a multiply-add being two, from registers, with the fastest
// instruction that the level in use (hr_get_isa) has for that number.
HR_API hr_status hr_matrix_ceiling(int number, int threads, double seconds, double* rate, const char** how);

#ifdef __cplusplus
}
#endif
