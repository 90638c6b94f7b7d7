// The rules of the C boundary: plain types in, a status out, never an exception. See hr_last_error for the words.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HR_API __attribute__((visibility("default")))

typedef enum hr_status {
    HR_OK = 0,
    HR_INVALID = 1,    // an argument or a setting is wrong; the caller can mend it
    HR_NO_MEMORY = 2,  // an allocation failed; nothing was changed
    HR_IO = 3,         // a file could not be read or written
    HR_INTERNAL = 4,   // a defect of this library
} hr_status;

typedef enum hr_isa { HR_ISA_SCALAR = 0, HR_ISA_AVX2 = 1, HR_ISA_AVX512 = 2, HR_ISA_AMX = 3 } hr_isa;

// What went wrong in this thread's last call that did not return HR_OK. Never null; valid until the next call.
HR_API const char* hr_last_error(void);

// Whether this machine and its operating system can run the level (CPUID, XCR0 and, for AMX, the kernel's permission).
HR_API int hr_isa_usable(int level);

// The level in use: HEADRACE_ISA where set, else the best usable. HR_INVALID when HEADRACE_ISA is unknown or unusable.
HR_API hr_status hr_get_isa(hr_isa* level);
HR_API hr_status hr_set_isa(int level);

// Threads a call may use when it is given threads = 0: HEADRACE_THREADS where set, else the cores of this process.
HR_API hr_status hr_get_threads(int* threads);
HR_API hr_status hr_set_threads(int threads);

#ifdef __cplusplus
}
#endif
