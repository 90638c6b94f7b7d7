#include "co_occurrence/co_occurrence.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "co_occurrence/by_item.h"
#include "core/checks.h"
#include "core/pool.h"
#include "core/status.h"

namespace {

constexpr int64_t kPairsPerThread = 1 << 16;
// Rows that reach fewer than this part of the items keep a list of those that they reach.
constexpr int64_t kSparse = 4;
constexpr int64_t kBlock = 256;
constexpr int64_t kLine = 64, kMostLines = 8, kAhead = 2;
// Keeps every score within float32, and no product of two of them from vanishing.
constexpr double kMostNorm = 1e18, kMostFactor = 1e9, kLeastWeight = 1e-60;
constexpr int kWeightBits = 8;
constexpr double kMostWeight = (1 << kWeightBits) - 1, kMostSum = 0x7FFFFFFF;
constexpr int64_t kMostLabels = int64_t{1} << (32 - kWeightBits);

struct Plan {
    const hr_likes& likes;
    const hr_closeness_formula& formula;
    hr::ByItem by;
    std::vector<double> row, column;  // by label: the norms of cosines, else the factors
    std::vector<uint32_t> packed;     // label and weight of each entry, where both are whole and small
    bool ones = true, whole = true, exact = false;
};

// dot(row, .) as whole numbers below 2^31.
struct Whole {
    const uint32_t* packed;
    std::vector<int32_t> sum;

    explicit Whole(const Plan& plan) : packed(plan.packed.data()), sum(plan.likes.items, 0) {}
    const char* line(int64_t e) const { return reinterpret_cast<const char*>(packed + e); }
    static constexpr int64_t kPerLine = kLine / static_cast<int64_t>(sizeof(uint32_t));
    uint32_t label(int64_t e) const { return packed[e] >> kWeightBits; }
    int32_t weight(int64_t e) const { return static_cast<int32_t>(packed[e] & 0xFF); }
    template <bool>
    void add(int64_t e, int32_t w) {
        sum[label(e)] += w * weight(e);
    }
    bool fresh(int64_t e) const { return sum[label(e)] == 0; }
    double dot(int64_t l) const { return sum[l]; }
    // Asked for only where all weights are 1.
    int64_t common(int64_t l) const { return sum[l]; }
    void forget(int64_t first, int64_t count) { std::fill_n(sum.begin() + first, count, 0); }
};

// The same beside the number of common users, in one word.
struct WholeAndCommon {
    const uint32_t* packed;
    std::vector<uint64_t> sum;

    explicit WholeAndCommon(const Plan& plan) : packed(plan.packed.data()), sum(plan.likes.items, 0) {}
    const char* line(int64_t e) const { return reinterpret_cast<const char*>(packed + e); }
    static constexpr int64_t kPerLine = kLine / static_cast<int64_t>(sizeof(uint32_t));
    uint32_t label(int64_t e) const { return packed[e] >> kWeightBits; }
    uint32_t weight(int64_t e) const { return packed[e] & 0xFF; }
    template <bool>
    void add(int64_t e, uint32_t w) {
        sum[label(e)] += uint64_t{w * weight(e)} << 32 | 1;
    }
    bool fresh(int64_t e) const { return sum[label(e)] == 0; }
    double dot(int64_t l) const { return static_cast<double>(static_cast<int64_t>(sum[l] >> 32)); }
    int64_t common(int64_t l) const { return static_cast<int64_t>(sum[l] & 0xFFFFFFFF); }
    void forget(int64_t first, int64_t count) { std::fill_n(sum.begin() + first, count, 0); }
};

struct Real {
    const uint32_t* labels;
    const double* weights;
    std::vector<double> sum;
    std::vector<uint32_t> users;

    explicit Real(const Plan& plan)
        : labels(plan.by.label.data()),
          weights(plan.likes.weight),
          sum(plan.likes.items, 0),
          users(plan.likes.items, 0) {}
    const char* line(int64_t e) const { return reinterpret_cast<const char*>(weights + e); }
    static constexpr int64_t kPerLine = kLine / static_cast<int64_t>(sizeof(double));
    uint32_t label(int64_t e) const { return labels[e]; }
    double weight(int64_t e) const { return weights ? weights[e] : 1.0; }
    template <bool kCount>
    void add(int64_t e, double w) {
        sum[labels[e]] += w * weight(e);
        if constexpr (kCount) ++users[labels[e]];
    }
    bool fresh(int64_t e) const { return users[labels[e]] == 0; }
    double dot(int64_t l) const { return sum[l]; }
    int64_t common(int64_t l) const { return users[l]; }
    void forget(int64_t first, int64_t count) {
        std::fill_n(sum.begin() + first, count, 0);
        std::fill_n(users.begin() + first, count, 0);
    }
};

enum class Formula { kCosine, kShrunk, kProduct };

template <Formula kFormula>
double key_of(double dot, double row, double column, double shrink) {
    if constexpr (kFormula == Formula::kCosine) {
        const double above = dot > 0 ? dot : 0;
        return above * above / (row * column);
    }
    if constexpr (kFormula == Formula::kShrunk) return dot / (std::sqrt(row * column) + shrink);
    return dot * row * column;
}

template <class Cells, Formula kFormula>
class Rows {
  public:
    explicit Rows(const Plan& plan) : plan_(plan), cells_(plan) {}

    int64_t nearest(int64_t row, int64_t k, int64_t* item, float* score) {
        best_.clear(k);
        const hr::ByItem& by = plan_.by;
        const int64_t first = by.start[row], last = by.start[row + 1], items = plan_.likes.items;
        int64_t reach = 0;
        for (int64_t q = first; q < last; ++q) reach += length(by.user[q]);
        if (reach * kSparse < items) {
            gather<false, true>(first, last);
            for (const uint32_t label : reached_) {
                if (label != row) offer(label, key(row, label));
                cells_.forget(label, 1);
            }
            reached_.clear();
        } else {
            if (plan_.formula.min_common > 1)
                gather<true, true>(first, last);
            else
                gather<true, false>(first, last);
            cells_.forget(row, 1);
            for (int64_t l = 0; l < items; l += kBlock) offer_block(row, l, std::min(kBlock, items - l));
        }
        return best_.take(kFormula == Formula::kCosine, 1, item, score);
    }

  private:
    int64_t length(int64_t user) const { return plan_.likes.offsets[user + 1] - plan_.likes.offsets[user]; }

    template <bool kDense, bool kCount>
    void gather(int64_t first, int64_t last) {
        const int64_t* offsets = plan_.likes.offsets;
        const uint32_t* user = plan_.by.user.data();
        const uint32_t* entry = plan_.by.entry.data();
        for (int64_t q = first; q < last; ++q) {
            // The likes of a user to come are on their way while those of this one are added.
            if (q + kAhead < last) {
                const int64_t next = user[q + kAhead];
                const int64_t lines = std::min(kMostLines, 1 + length(next) / Cells::kPerLine);
                const char* at = cells_.line(offsets[next]);
                for (int64_t line = 0; line < lines; ++line) __builtin_prefetch(at + line * kLine);
            }
            const auto weight = cells_.weight(entry[q]);
            const int64_t stop = offsets[user[q] + 1];
            for (int64_t e = offsets[user[q]]; e < stop; ++e) {
                if (!kDense && cells_.fresh(e)) reached_.push_back(cells_.label(e));
                cells_.template add<kCount>(e, weight);
            }
        }
    }

    double key(int64_t row, int64_t label) const {
        return key_of<kFormula>(cells_.dot(label), plan_.row[row], plan_.column[label], plan_.formula.shrink);
    }

    void offer(int64_t label, double key) {
        if (!(key >= best_.gate())) return;
        const int64_t least = plan_.formula.min_common;
        if (least > 1 && cells_.common(label) < least) return;
        best_.add(plan_.exact ? key : hr::rounded(key), plan_.by.item[label]);
    }

    void offer_block(int64_t row, int64_t first, int64_t count) {
        double keys[kBlock];
        // A loop without branches, of which the compiler makes vectors.
        for (int64_t i = 0; i < count; ++i) keys[i] = key(row, first + i);
        for (int64_t i = 0; i < count; ++i)
            if (keys[i] >= best_.gate()) offer(first + i, keys[i]);
        cells_.forget(first, count);
    }

    const Plan& plan_;
    Cells cells_;
    std::vector<uint32_t> reached_;
    hr::Best best_;
};

template <class Cells, Formula kFormula>
void fill(const Plan& plan, int64_t k, int threads, int64_t* out_offsets, int64_t* out_item, float* out_score) {
    const int64_t items = plan.likes.items, room = std::min(k, items);
    std::vector<int64_t> found(items, 0);
    std::vector<Rows<Cells, kFormula>> workers;
    workers.reserve(threads);
    for (int t = 0; t < threads; ++t) workers.emplace_back(plan);
    // Labels begin with the rows that cost most, so no thread is left with one at the end.
    hr::parallel_for(items, threads, [&](int64_t row, int worker) {
        const int64_t item = plan.by.item[row];
        found[item] = workers[worker].nearest(row, room, out_item + item * room, out_score + item * room);
    });
    hr::close_gaps(found, room, out_offsets, out_item, out_score);
}

void check_weights(Plan& plan) {
    const hr_likes& likes = plan.likes;
    std::vector<double> norm(likes.items, 0);
    bool small = likes.items < kMostLabels;
    for (int64_t e = 0; e < likes.entries; ++e) {
        const double w = likes.weight ? likes.weight[e] : 1.0;
        if (!(w - w == 0) || (w != 0 && std::fabs(w) < kLeastWeight))
            hr::bad("weight: expected 0 or finite numbers from 1e-60 up, got " + std::to_string(w) + " in entry " +
                    std::to_string(e));
        plan.whole &= w == std::floor(w);
        plan.ones &= w == 1;
        small &= w >= 1 && w <= kMostWeight;
        norm[plan.by.label[e]] += w * w;
    }
    const double most = norm.empty() ? 0 : *std::max_element(norm.begin(), norm.end());
    hr::expect(most <= kMostNorm, "weight: expected squares that add up to at most 1e18 in an item, got more");
    if (plan.whole && small && most <= kMostSum) {
        plan.packed.resize(likes.entries);
        for (int64_t e = 0; e < likes.entries; ++e)
            plan.packed[e] =
                plan.by.label[e] << kWeightBits | static_cast<uint32_t>(likes.weight ? likes.weight[e] : 1);
    }
    if (plan.formula.cosine) plan.row = plan.column = norm;
}

std::vector<double> factors(const char* name, const double* of, const hr::ByItem& by) {
    std::vector<double> found(by.item.size(), 1.0);
    for (size_t l = 0; of && l < found.size(); ++l) {
        found[l] = of[by.item[l]];
        hr::expect(found[l] >= 0 && found[l] <= kMostFactor,
                   std::string(name) + ": expected numbers from 0 to 1e9, got " + std::to_string(found[l]));
    }
    return found;
}

// Of items that may be nobody's neighbour: no score of theirs is then above 0, and the loops ask no more than before.
void close_columns(Plan& plan) {
    if (!plan.likes.kept) return;
    const double closed = plan.formula.cosine ? std::numeric_limits<double>::infinity() : 0;
    for (size_t l = 0; l < plan.column.size(); ++l)
        if (!plan.likes.kept[plan.by.item[l]]) plan.column[l] = closed;
}

template <class Cells>
void fill_by(const Plan& plan, int64_t k, int threads, int64_t* out_offsets, int64_t* out_item, float* out_score) {
    if (!plan.formula.cosine)
        fill<Cells, Formula::kProduct>(plan, k, threads, out_offsets, out_item, out_score);
    else if (plan.formula.shrink > 0)
        fill<Cells, Formula::kShrunk>(plan, k, threads, out_offsets, out_item, out_score);
    else
        fill<Cells, Formula::kCosine>(plan, k, threads, out_offsets, out_item, out_score);
}

int threads_for(const hr_likes& likes, int threads) {
    int64_t pairs = 0;
    for (int64_t u = 0; u < likes.users && pairs < int64_t{1} << 40; ++u) {
        const int64_t length = likes.offsets[u + 1] - likes.offsets[u];
        pairs += length * std::min<int64_t>(length, 1 << 20);
    }
    return static_cast<int>(std::min<int64_t>(hr::resolve_threads(threads), 1 + pairs / kPairsPerThread));
}

}  // namespace

hr_status hr_co_occurrence(const hr_likes* likes, const hr_closeness_formula* formula, int64_t k, int threads,
                           int64_t* out_offsets, int64_t* out_item, float* out_score) {
    return hr::guarded([&] {
        hr::check_pointer("likes", likes);
        hr::check_pointer("formula", formula);
        hr::expect(k >= 1, "k: expected at least 1, got " + std::to_string(k));
        hr::expect(formula->min_common >= 1,
                   "min_common: expected at least 1, got " + std::to_string(formula->min_common));
        hr::expect(formula->shrink >= 0 && formula->shrink <= kMostNorm,
                   "shrink: expected 0 to 1e18, got " + std::to_string(formula->shrink));
        Plan plan{*likes, *formula, hr::by_item(*likes), {}, {}, {}};
        hr::check_pointer("out_offsets", out_offsets);
        hr::check_pointer("out_item", out_item, likes->items > 0);
        hr::check_pointer("out_score", out_score, likes->items > 0);
        check_weights(plan);
        if (!formula->cosine) {
            plan.row = factors("row", formula->row, plan.by);
            plan.column = factors("column", formula->column, plan.by);
        }
        close_columns(plan);
        plan.exact = plan.whole && formula->cosine && formula->shrink == 0;
        const int most = threads_for(*likes, threads);
        if (plan.packed.empty())
            fill_by<Real>(plan, k, most, out_offsets, out_item, out_score);
        else if (formula->min_common > 1 && !plan.ones)
            fill_by<WholeAndCommon>(plan, k, most, out_offsets, out_item, out_score);
        else
            fill_by<Whole>(plan, k, most, out_offsets, out_item, out_score);
    });
}
