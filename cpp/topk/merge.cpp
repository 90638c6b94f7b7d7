#include "topk/merge.h"

#include <algorithm>
#include <limits>

void hr::merge_best(const Lists& lists, int64_t k, int64_t* heads, double* scores, int64_t* ids) {
    for (int64_t l = 0; l < lists.n_lists; ++l) heads[l] = l * lists.stride;
    for (int64_t i = 0; i < k; ++i) {
        int64_t best = -1;
        for (int64_t l = 0; l < lists.n_lists; ++l) {
            const int64_t at = heads[l];
            if (at == l * lists.stride + lists.width || lists.ids[at] < 0) continue;
            if (best >= 0) {
                const int64_t now = heads[best];
                const bool ahead = lists.scores[at] > lists.scores[now] ||
                                   (lists.scores[at] == lists.scores[now] && lists.ids[at] < lists.ids[now]);
                if (!ahead) continue;
            }
            best = l;
        }
        if (best < 0) {
            std::fill(scores + i, scores + k, -std::numeric_limits<double>::infinity());
            std::fill(ids + i, ids + k, -1);
            return;
        }
        scores[i] = lists.scores[heads[best]];
        ids[i] = lists.ids[heads[best]++];
    }
}
