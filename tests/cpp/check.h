// The smallest test frame: CHECK prints what failed and the run ends with a count.
#pragma once

#include <cstdio>

namespace {
int checks_passed = 0, checks_failed = 0;
}

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (condition) {                                                        \
            ++checks_passed;                                                    \
        } else {                                                                \
            ++checks_failed;                                                    \
            std::printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                       \
    } while (0)

inline int report(const char* name) {
    std::printf("%s: %d passed, %d failed\n", name, checks_passed, checks_failed);
    return checks_failed != 0;
}
