#include "topk/survivors.h"

#include <algorithm>

namespace {

// A value that at least k of the scores reach, found by bisection: counting is a vector loop, sorting is not.
float reached_by(const hr::Problem& problem, const hr::Survivors& survivors, int64_t effort) {
    const float* scores = survivors.scores;
    const int64_t n = survivors.count;
    float low, high;
    problem.kernels->range(scores, n, low, high);
    int64_t reached = n;
    const int64_t enough = problem.k + problem.k / effort;
    for (int step = 0; step < 40 && reached > enough; ++step) {
        const float middle = low + (high - low) / 2;
        if (!(middle > low && middle < high)) break;
        const int64_t count = problem.kernels->count_at_least(scores, n, middle);
        if (count >= problem.k) {
            low = middle;
            reached = count;
        } else {
            high = middle;
        }
    }
    return low;
}

// Moves k survivors that the scan ranks highest to the front.
void bring_best_forward(const hr::Problem& problem, hr::Survivors& survivors) {
    const float cut = reached_by(problem, survivors, problem.k + 1);
    int64_t front = 0;
    for (int64_t i = 0; front < problem.k && i < survivors.count; ++i) {
        if (!(survivors.scores[i] >= cut)) continue;
        std::swap(survivors.scores[front], survivors.scores[i]);
        std::swap(survivors.rows[front++], survivors.rows[i]);
    }
}

}  // namespace

void hr::thin_by_scan(const Problem& problem, double bound, int64_t effort, Survivors& survivors,
                      Threshold& threshold) {
    if (survivors.count <= problem.k) return;
    threshold.raise(reached_by(problem, survivors, effort) - bound);
    problem.kernels->keep_at_least(survivors, round_down(threshold.get() - bound));
}

int64_t hr::thin_by_best(const Problem& problem, const Query& query, double bound, Survivors& survivors,
                         const Ranking& ranking, Threshold& threshold) {
    const int64_t k = problem.k;
    if (survivors.count <= k + k / 8) return 0;
    bring_best_forward(problem, survivors);
    problem.score(query, survivors.rows, k, ranking, 0);
    double least = kInfinity;
    for (int64_t i = 0; i < k; ++i) least = std::min(least, ranking.ranked[i].score);
    threshold.raise(problem.scan_scale(query, least));
    Survivors others{survivors.scores + k, survivors.rows + k, survivors.count - k};
    problem.kernels->keep_at_least(others, round_down(threshold.get() - bound));
    survivors.count = k + others.count;
    return k;
}

void hr::thin_by_score(const Problem& problem, const Query& query, Survivors& survivors, int64_t scored,
                       const Ranking& ranking, Threshold& threshold) {
    if (survivors.count <= problem.k) return;
    Ranked* ranked = ranking.ranked;
    problem.score(query, survivors.rows + scored, survivors.count - scored, ranking, scored);
    std::nth_element(ranked, ranked + problem.k - 1, ranked + survivors.count, before);
    for (int64_t i = 0; i < problem.k; ++i) {
        survivors.scores[i] = static_cast<float>(problem.scan_scale(query, ranked[i].score));
        survivors.rows[i] = ranked[i].row;
    }
    survivors.count = problem.k;
    threshold.raise(problem.scan_scale(query, ranked[problem.k - 1].score));
}

void hr::write_best(const Problem& problem, const Query& query, const Survivors& survivors, int64_t scored,
                    const Ranking& ranking, double* scores, int64_t* ids) {
    problem.score(query, survivors.rows + scored, survivors.count - scored, ranking, scored);
    const int64_t found = std::min(problem.k, survivors.count);
    const Ranked* ranked = order_best(ranking, survivors.count, found);
    for (int64_t i = 0; i < found; ++i) {
        scores[i] = ranked[i].score;
        ids[i] = ranked[i].row;
    }
    std::fill(scores + found, scores + problem.width, -kInfinity);
    std::fill(ids + found, ids + problem.width, -1);
}
