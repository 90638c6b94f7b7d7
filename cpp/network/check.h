// Checks of a program's instructions; each throws std::invalid_argument with words.
#pragma once

#include <vector>

#include "network/plan.h"

namespace hr {

// The longest run of columns, weights or rows; no product of two sizes that passed overflows.
constexpr int64_t kMaxColumns = 1 << 16, kMaxSteps = 1 << 16, kMaxWidth = 1 << 16, kMaxRows = int64_t{1} << 34;

// What has to be known of a stage beside its steps.
struct NetworkNeeds {
    int64_t prepared;  // numbers of a request
    int64_t extra;     // columns
    int64_t products;  // multiply-adds of a row
    int64_t packed;    // numbers of the packed weights
    int64_t inputs;    // of the layer that has most, filled up to whole tiles
};

// Checks every instruction of a stage and puts it into `steps`, with its place in a request's numbers from `prepared`
// on where it needs one. `written`: memory to work in.
NetworkNeeds check_stage(const hr_network_program& program, const hr_network_requests& requests, bool pair,
                         int64_t prepared, std::vector<NetworkStep>& steps, std::vector<char>& written);

}  // namespace hr
