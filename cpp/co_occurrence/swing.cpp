#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "co_occurrence/by_item.h"
#include "co_occurrence/co_occurrence.h"
#include "core/checks.h"
#include "core/pool.h"
#include "core/status.h"

namespace {

class Pairs {
  public:
    Pairs(const hr_likes& likes, const hr::ByItem& by, double alpha)
        : offsets_(likes.offsets),
          kept_(likes.kept),
          by_(by),
          alpha_(alpha),
          mine_(likes.items, 0),
          sum_(likes.items, 0) {}

    int64_t nearest(int64_t row, int64_t k, int64_t* item, float* score) {
        best_.clear(k);
        const int64_t first = by_.start[row], last = by_.start[row + 1];
        for (int64_t a = first; a + 1 < last; ++a) {
            mark(by_.user[a], 1);
            for (int64_t b = a + 1; b < last; ++b) meet(by_.user[b]);
            mark(by_.user[a], 0);
        }
        for (const uint32_t label : reached_) {
            const int64_t other = by_.item[label];
            if (label != row && (!kept_ || kept_[other])) best_.add(hr::rounded(sum_[label]), other);
            sum_[label] = 0;
        }
        reached_.clear();
        // A pair stands for both of its orders.
        return best_.take(false, 2, item, score);
    }

  private:
    void mark(int64_t user, uint8_t mine) {
        for (int64_t e = offsets_[user]; e < offsets_[user + 1]; ++e) mine_[by_.label[e]] = mine;
    }
    // The marked user and this one: what both like is this much alike.
    void meet(int64_t user) {
        const uint32_t* first = by_.label.data() + offsets_[user];
        const uint32_t* last = by_.label.data() + offsets_[user + 1];
        int64_t shared = 0;
        for (const uint32_t* at = first; at < last; ++at) shared += mine_[*at];
        // One item says nothing of two.
        if (shared < 2) return;
        const double worth = 1 / (alpha_ + static_cast<double>(shared));
        for (const uint32_t* at = first; at < last; ++at) {
            if (!mine_[*at]) continue;
            if (sum_[*at] == 0) reached_.push_back(*at);
            sum_[*at] += worth;
        }
    }

    const int64_t* offsets_;
    const uint8_t* kept_;
    const hr::ByItem& by_;
    double alpha_;
    std::vector<uint8_t> mine_;
    std::vector<double> sum_;
    std::vector<uint32_t> reached_;
    hr::Best best_;
};

}  // namespace

hr_status hr_swing(const hr_likes* likes, double alpha, int64_t k, int threads, int64_t* out_offsets, int64_t* out_item,
                   float* out_score) {
    return hr::guarded([&] {
        hr::check_pointer("likes", likes);
        hr::expect(k >= 1, "k: expected at least 1, got " + std::to_string(k));
        hr::expect(alpha > 0 && alpha <= 1e18,
                   "alpha: expected more than 0 and at most 1e18, got " + std::to_string(alpha));
        const hr::ByItem by = hr::by_item(*likes);
        hr::check_pointer("out_offsets", out_offsets);
        hr::check_pointer("out_item", out_item, likes->items > 0);
        hr::check_pointer("out_score", out_score, likes->items > 0);
        const int64_t items = likes->items, room = std::min(k, items);
        const int most = static_cast<int>(std::min<int64_t>(hr::resolve_threads(threads), 1 + likes->entries / 1024));
        std::vector<Pairs> workers(most, Pairs(*likes, by, alpha));
        std::vector<int64_t> found(items, 0);
        hr::parallel_for(items, most, [&](int64_t row, int worker) {
            const int64_t item = by.item[row];
            found[item] = workers[worker].nearest(row, room, out_item + item * room, out_score + item * room);
        });
        hr::close_gaps(found, room, out_offsets, out_item, out_score);
    });
}
