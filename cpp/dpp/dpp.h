// Greedy diverse selection from ragged lists: DPP (determinantal point process) and MMR (maximal marginal relevance).
#pragma once

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// A batch of ragged lists. List b owns items offsets[b] to offsets[b+1].
typedef struct hr_lists {
    const float* vectors;    // [items, width], finite
    const float* rewards;    // [items], finite
    const int64_t* offsets;  // [batch + 1], from 0 to items, never falling
    int64_t batch, items, width;
    // Rule r forbids an item of kind c >= 0 when the last span-1 picks hold `most` of kind c; a prefix rule holds only
    // for the first `span` picks. Rules are in order of priority: when they leave nothing, the last is dropped first.
    const int32_t* kinds;   // [rules, items]; a negative kind is not touched. Null without rules
    const int64_t* limits;  // [rules, 3]: span, most, prefix (0 or 1). Null without rules
    int64_t rules;          // 0 to 31
    // The item that must stand at each position, -1 where the pick is free. It comes there, whatever its objective and
    // the rules say, and nowhere else. Null: every pick is free.
    const int64_t* pinned;  // [batch, k], each item once at most in its list
} hr_lists;

// What is picked, all owned by the caller.
typedef struct hr_picks {
    int64_t* picked;  // [batch, k] positions inside each list, -1 where the list is too short
    float* gain;      // [batch, k] objective of each pick when it was picked, at most FLT_MAX in size; -infinity where
                      // the list is too short
    int64_t* ruled;   // [batch, 2]: picks that break a rule; free picks where the rules forbade the best item. Or null
    float* logdet;  // [batch, k], hr_dpp only: sum of log(max(d2, eps)) of the picks so far, padded like gain. Or null
} hr_picks;

// Each pick maximises theta * reward + (1 - theta) * log(max(d2, eps)), d2 = squared distance of the item's vector from
// the span of the last `window` picks (0: of all picks). Ties go to the lower position. theta in [0, 1]; eps >= 1e-12.
HR_API hr_status hr_dpp(const hr_lists* lists, int64_t k, double theta, int64_t window, double eps, int threads,
                        const hr_picks* picks);

// Each pick maximises theta * reward - (1 - theta) * s, s = largest inner product with the last `window` picks (0: with
// all picks). The first pick is the item of the highest reward. Ties go to the lower position.
HR_API hr_status hr_mmr(const hr_lists* lists, int64_t k, double theta, int64_t window, int threads,
                        const hr_picks* picks);

#ifdef __cplusplus
}
#endif
