// Which instruction sets this machine can run, and which one is in use.
#pragma once

#include "core/abi.h"

namespace hr {

// Throws std::invalid_argument when HEADRACE_ISA is unknown or not usable here.
hr_isa active_isa();

const char* isa_name(hr_isa level);

}  // namespace hr
