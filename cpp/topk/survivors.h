// How survivors are thinned out and ranked.
#pragma once

#include <atomic>

#include "topk/order.h"
#include "topk/query.h"

namespace hr {

// A scan score that at least k of the query's items are known to reach; it only rises, and workers share it.
class Threshold {
  public:
    double get() const { return std::atomic_ref(const_cast<double&>(value_)).load(std::memory_order_relaxed); }
    void reset() { value_ = -kInfinity; }
    void raise(double to) {
        std::atomic_ref value(value_);
        double now = value.load(std::memory_order_relaxed);
        while (now < to && !value.compare_exchange_weak(now, to, std::memory_order_relaxed)) {
        }
    }

  private:
    double value_;
};

// A float below `value` by little, also where the process flushes subnormals.
inline float round_down(double value) { return static_cast<float>(value - std::fabs(value) * 0x1p-23 - 0x1p-124); }

// Drops the survivors that scan scores prove to be outside the top k. `bound` must be finite. The k-th best scan score
// is found to within k / effort ranks.
void thin_by_scan(const Problem& problem, double bound, int64_t effort, Survivors& survivors, Threshold& threshold);

// Scores in float64 the k survivors that scan best, which raises the threshold, and drops what that proves to be
// outside the top k. Returns how many were scored: k, now the first survivors and of `ranking`, or none where it would
// not pay. `bound` must be finite; `ranking` has room for as many as there are survivors.
int64_t thin_by_best(const Problem& problem, const Query& query, double bound, Survivors& survivors,
                     const Ranking& ranking, Threshold& threshold);

// Keeps the k best by float64 score. The first `scored` stand in `ranking` already.
void thin_by_score(const Problem& problem, const Query& query, Survivors& survivors, int64_t scored,
                   const Ranking& ranking, Threshold& threshold);

// Ranks the survivors by float64 score and writes the k best, padded. `scored` as above.
void write_best(const Problem& problem, const Query& query, const Survivors& survivors, int64_t scored,
                const Ranking& ranking, double* scores, int64_t* ids);

}  // namespace hr
