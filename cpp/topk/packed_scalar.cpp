#include <cstring>

#include "topk/packed_kernel.h"

namespace hr {
namespace {

struct Bfloat16 {
    static constexpr int kQueries = 4, kVecs = 4;
    static constexpr QueryOrder kOrder = QueryOrder::kSteps;
    static constexpr bool kScaled = false;
    using Sum = float;
    struct Pair {
        float even, odd;
    };
    using Column = Pair;
    using Word = Pair;
    static Sum start(int32_t) { return 0.0f; }
    static Pair load(const uint32_t* x) {
        const uint32_t halves[2] = {*x << 16, *x & 0xffff0000u};
        Pair pair;
        std::memcpy(&pair, halves, sizeof pair);
        return pair;
    }
    static Word spread(const uint32_t* q) { return load(q); }
    static Sum step(Sum sum, Column x, Word q) { return sum + x.even * q.even + x.odd * q.odd; }
    static Vec floats(Sum sum, float) { return {sum}; }
};

struct Int8 {
    static constexpr int kQueries = 4, kVecs = 4;
    static constexpr QueryOrder kOrder = QueryOrder::kSteps;
    static constexpr bool kScaled = true;
    using Sum = int32_t;
    struct Column {
        uint8_t values[4];
    };
    struct Word {
        int8_t values[4];
    };
    static Sum start(int32_t value) { return value; }
    static Column load(const uint32_t* x) {
        Column column;
        std::memcpy(&column, x, sizeof column);
        return column;
    }
    static Word spread(const uint32_t* q) {
        Word word;
        std::memcpy(&word, q, sizeof word);
        return word;
    }
    static Sum step(Sum sum, Column x, Word q) {
        for (int i = 0; i < 4; ++i) sum += x.values[i] * q.values[i];
        return sum;
    }
    static Vec floats(Sum sum, float scale) { return {static_cast<float>(sum) * scale}; }
};

}  // namespace

constinit const PackedKernels packed_bfloat16_scalar = packed_kernels<Bfloat16>;
constinit const PackedKernels packed_int8_scalar = packed_kernels<Int8>;

}  // namespace hr
