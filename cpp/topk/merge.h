// Joins the answers of searches over parts of a catalogue.
#pragma once

#include <cstdint>

namespace hr {

// n_lists answers of one query: list l begins at scores + l * stride and ids + l * stride and holds `width` entries.
struct Lists {
    const double* scores;
    const int64_t* ids;
    int64_t n_lists, width, stride;
};

// Writes the k best entries, best first, equal scores by rising id; -inf and -1 where there are fewer. `heads` has room
// for one number for each list.
void merge_best(const Lists& lists, int64_t k, int64_t* heads, double* scores, int64_t* ids);

}  // namespace hr
