// Rows of items, codes and candidates, added up and turned into columns.
#pragma once

#include "core/transpose.h"
#include "network/lanes.h"

namespace hr {
namespace {

// Where the rows of a block's candidates lie. Lanes behind the last candidate repeat the first one.
struct BlockRows {
    const float *item[kBlock], *inputs[kBlock], *codes[HR_NETWORK_MAX_FIELDS * kBlock];
    int64_t fields;

    void find(const hr_network_program& p, const NetworkTask& t, int64_t first) {
        const int64_t left = t.count - first;
        fields = t.fields;
        for (int i = 0; i < kBlock; ++i) {
            const int64_t c = first + (i < left ? i : 0);
            item[i] = p.item_rows + t.item[c] * p.item_width;
            for (int64_t f = 0; f < fields; ++f)
                codes[f * kBlock + i] = p.code_rows + t.codes[c * fields + f] * p.code_width;
            inputs[i] = t.inputs + c * p.pair_inputs;
        }
    }
};

// Asks for the rows of the next block, a few lines at a time between the tiles of this one: they lie anywhere, so the
// hardware would wait for each, and it has room for a few requests only.
class Ahead {
  public:
    // Row item[c] of `rows` is for candidate c < count; `tiles` of a block ask.
    Ahead(const float* rows, int64_t width, const int64_t* item, int64_t count, int64_t tiles)
        : rows_(rows), width_(width), item_(item), count_(count), lines_(kBlock * (width / kLine) / (tiles + 1) + 1) {}

    // The block before candidate `next` begins.
    void begin(int64_t next) {
        next_ = next;
        last_ = next + kBlock < count_ ? next + kBlock : count_;
        column_ = 0;
    }

    void operator()() {
        for (int64_t i = 0; i < lines_ && next_ < last_; ++i) {
            __builtin_prefetch(rows_ + item_[next_] * width_ + column_, 0, 2);
            column_ += kLine;
            if (column_ < width_) continue;
            column_ = 0;
            ++next_;
        }
    }

  private:
    static constexpr int64_t kLine = 16;
    const float* rows_;
    int64_t width_;
    const int64_t* item_;
    int64_t count_, lines_, next_ = 0, last_ = 0, column_ = 0;
};

// Columns from `column` on of rows[candidate].
struct RowList {
    const float* const* rows;
    int64_t column;
};

template <bool kWhole>
inline void rows_square(const RowList* lists, int64_t count, int lane, const float* base, int64_t j, int columns,
                        float* out) {
    constexpr int L = Vec::kLanes;
    auto load = [&](const float* p) { return kWhole ? Vec::load(p + j) : Vec::load_first(p + j, columns); };
    const Vec start = base ? load(base) : Vec::zero();
    Vec square[L];
    for (int i = 0; i < L; ++i) square[i] = start + load(lists[0].rows[lane + i] + lists[0].column);
    for (int64_t l = 1; l < count; ++l)
        for (int i = 0; i < L; ++i) square[i] = square[i] + load(lists[l].rows[lane + i] + lists[l].column);
    transpose(square);
    for (int c = 0; c < L; ++c) {
        if (!kWhole && c >= columns) break;
        square[c].store(out + c * kBlock);
    }
}

// Each candidate's sum of `base` (null: 0) and of its row in each list, at least one.
inline void add_rows(const RowList* lists, int64_t count, const float* base, int64_t width, float* out) {
    constexpr int L = Vec::kLanes;
    for (int lane = 0; lane < kBlock; lane += L) {
        int64_t j = 0;
        for (; j + L <= width; j += L) rows_square<true>(lists, count, lane, base, j, L, out + j * kBlock + lane);
        if (j < width)
            rows_square<false>(lists, count, lane, base, j, static_cast<int>(width - j), out + j * kBlock + lane);
    }
}

// Every candidate gets the same numbers.
inline void spread(const float* x, int64_t width, float* out) {
    for (int64_t j = 0; j < width; ++j) vectors<Lanes>([&](int v) { Vec::all(x[j]).store(out + j * kBlock + v); });
}

inline void rows(const RowsStep& s, const BlockRows& block, const float* request, float* out) {
    RowList lists[2 + HR_NETWORK_MAX_FIELDS];
    int64_t count = 0;
    if (s.item >= 0) lists[count++] = {block.item, s.item};
    if (s.codes >= 0)
        for (int64_t f = 0; f < block.fields; ++f) lists[count++] = {block.codes + f * kBlock, s.codes};
    if (s.pair >= 0) lists[count++] = {block.inputs, s.pair};
    const float* base = s.request >= 0 ? request + s.request : nullptr;
    if (count)
        add_rows(lists, count, base, s.width, out);
    else if (base)
        spread(base, s.width, out);
    else
        std::memset(out, 0, static_cast<size_t>(s.width) * kBlock * sizeof(float));
}

}  // namespace
}  // namespace hr
