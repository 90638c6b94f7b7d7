// A ragged batch cut into tasks: runs of at most `most` candidates, each of one request.
#pragma once

#include <cstdint>
#include <vector>

namespace hr {

struct Span {
    int64_t request, first, count;
};

// Candidates of a task: few enough that every thread gets some, many enough that a task is worth its while.
inline int64_t span_size(int64_t count, int threads, int64_t least, int64_t most) {
    const int64_t share = (count / (2 * threads) + least - 1) / least * least;
    return share < least ? least : share > most ? most : share;
}

inline void cut_spans(const int64_t* offsets, int64_t batch, int64_t most, std::vector<Span>& spans) {
    spans.clear();
    for (int64_t b = 0; b < batch; ++b)
        for (int64_t first = offsets[b]; first < offsets[b + 1]; first += most) {
            const int64_t left = offsets[b + 1] - first;
            spans.push_back({b, first, left < most ? left : most});
        }
}

}  // namespace hr
