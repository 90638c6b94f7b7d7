#include "topk/order.h"

#include <algorithm>
#include <cmath>

namespace {

constexpr int64_t kFew = 48;

void sort_few(hr::Ranked* first, hr::Ranked* last) {
    if (last - first > kFew) return std::sort(first, last, hr::before);
    for (hr::Ranked* next = first + 1; next < last; ++next) {
        const hr::Ranked now = *next;
        hr::Ranked* to = next;
        for (; to > first && hr::before(now, to[-1]); --to) *to = to[-1];
        *to = now;
    }
}

// As many buckets as records, of equal width in score: with most data a bucket holds a few.
class Buckets {
  public:
    Buckets(const hr::Ranked* records, int64_t n) : last_(static_cast<int32_t>(n - 1)) {
        double least = records[0].score;
        highest_ = least;
        for (int64_t i = 1; i < n; ++i) {
            least = std::min(least, records[i].score);
            highest_ = std::max(highest_, records[i].score);
        }
        scale_ = static_cast<double>(n - 1) / (highest_ - least);
    }
    bool usable() const { return scale_ > 0 && std::isfinite(scale_); }
    // Never falls as the score does not rise.
    int32_t of(double score) const { return std::min(static_cast<int32_t>((highest_ - score) * scale_), last_); }

  private:
    double highest_, scale_;
    int32_t last_;
};

}  // namespace

hr::Ranked* hr::order_best(const Ranking& ranking, int64_t n, int64_t k) {
    Ranked* records = ranking.ranked;
    k = std::min(k, n);
    if (n <= kFew) {
        sort_few(records, records + n);
        return records;
    }
    const Buckets buckets(records, n);
    if (!buckets.usable()) {
        if (k < n) std::nth_element(records, records + k, records + n, before);
        std::sort(records, records + k, before);
        return records;
    }
    int32_t* starts = ranking.starts;
    std::fill_n(starts, n + 1, 0);
    for (int64_t i = 0; i < n; ++i) ++starts[buckets.of(records[i].score) + 1];
    for (int64_t i = 0; i < n; ++i) starts[i + 1] += starts[i];
    for (int64_t i = 0; i < n; ++i) ranking.spare[starts[buckets.of(records[i].score)]++] = records[i];
    // Each start has moved to the end of its bucket.
    for (int64_t bucket = 0, first = 0; first < k; first = starts[bucket++])
        sort_few(ranking.spare + first, ranking.spare + starts[bucket]);
    return ranking.spare;
}
