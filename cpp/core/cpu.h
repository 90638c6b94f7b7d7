// Which instruction sets this machine can run, and which one is in use.
#pragma once

#include "core/abi.h"

namespace hr {

// Throws std::invalid_argument when HEADRACE_ISA is unknown or not usable here.
hr_isa active_isa();

const char* isa_name(hr_isa level);

// Extensions inside a level that only some of its machines have. False where the level itself is not usable.
bool cpu_has_avx_vnni();
bool cpu_has_avx512_vnni();
bool cpu_has_avx512_bf16();

}  // namespace hr
