// Recall in two hops: from a user to seeds, from each seed to items, equal items added up.
#pragma once

#include <stdint.h>

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// One hop: node n leads to target[offsets[n]] .. target[offsets[n + 1] - 1]. Offsets rise from 0 to `entries`.
typedef struct hr_edges {
    const int64_t* offsets;  // [nodes + 1]
    int64_t nodes;
    const int64_t* target;  // [entries]
    const float* weight;    // [entries]; null, in the second hop: 1 / rank, rank from 1 in the list
    const int64_t* time;    // [entries], falling in each list, or null
    int64_t entries;
} hr_edges;

// The user's seeds are the targets of `seeds`, which needs weights; a seed's items are those of `items`. Where
// items.time is not null, a request sees the items of time now[b] or before. A seed gives its first `limit` items, and
// with `share` not 0 at most its share of k, rounded up: k times its weight over the user's, by which its weight is
// divided then. An entry is worth the product of both weights; the worth of equal items is added up in float64, seed by
// seed. The `k` distinct items of each request with the highest sums, rounded to float32, ties to the lower item, go to
// out_item and out_score, request after request, from out_offsets[b] on (out_offsets [batch + 1]); both have room for
// batch * min(k, items.entries). users [batch]: nodes of `seeds`, -1 has none. The same answer for every number of
// threads. HR_INVALID for a user or a seed out of range, k or limit below 1, a NaN sum, and, with `share`, a user whose
// weights do not add up to more than 0. Of the offsets, those of the
// lists that are walked are checked, at each call: the memory is the caller's.
HR_API hr_status hr_two_hop(const int64_t* users, const int64_t* now, int64_t batch, const hr_edges* seeds,
                            const hr_edges* items, int64_t limit, int share, int64_t k, int threads,
                            int64_t* out_offsets, int64_t* out_item, float* out_score);

#ifdef __cplusplus
}
#endif
