// Ranks survivors, best first.
#pragma once

#include <cstdint>

#include "topk/kernels.h"

namespace hr {

// Room to rank n survivors in.
struct Ranking {
    Ranked* ranked;   // n
    Ranked* spare;    // n
    int32_t* starts;  // n + 1
    float* unpacked;  // Problem::kUnpacked rows, where only packed numbers are there to decide
};

// Best first; equal scores: the lower row. An object, so that sorting inlines it.
constexpr auto before = [](const Ranked& a, const Ranked& b) {
    return a.score > b.score || (a.score == b.score && a.row < b.row);
};

// Sorts the k best of the n records in ranking.ranked; returns where they lie: one of the two arrays, the others behind
// them in any order.
Ranked* order_best(const Ranking& ranking, int64_t n, int64_t k);

}  // namespace hr
