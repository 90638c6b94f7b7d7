#include "core/status.h"

#include <cstdio>

namespace {
thread_local char last_error[512] = "";
}

void hr::set_last_error(const char* message) { std::snprintf(last_error, sizeof last_error, "%s", message); }

const char* hr_last_error(void) { return last_error; }
