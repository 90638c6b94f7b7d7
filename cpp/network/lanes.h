// Rows as the steps see them, written once for a block of candidates and for a single request.
//
// Column j of a stage is kColumn numbers from j * kColumn on. What is done to each number alone runs over many columns
// at once, in both layouts; what is summed up over columns runs lane by lane.
#pragma once

#include "core/dense.h"
#include "network/plan.h"

namespace hr {
namespace {

static_assert(kBlock <= kMaxBlock);

// A block of candidates: each has a lane of its own.
struct Lanes {
    static constexpr bool kSingle = false;
    static constexpr int kColumn = kBlock, kVecs = kBlockVecs;
    static Vec load(const float* p) { return Vec::load(p); }
    static void store(Vec x, float* p) { x.store(p); }
};

// One request, its columns side by side. Lane by lane it fills a vector with one number, which costs more than it need,
// and only where a sum runs over columns in a request's own stage.
struct Single {
    static constexpr bool kSingle = true;
    static constexpr int kColumn = 1, kVecs = 1;
    static Vec load(const float* p) { return Vec::all(*p); }
    static void store(Vec x, float* p) { *p = x.first(); }
};

struct Whole {
    Vec load(const float* p) const { return Vec::load(p); }
    void store(Vec x, float* p) const { x.store(p); }
};

struct First {
    int n;
    Vec load(const float* p) const { return Vec::load_first(p, n); }
    void store(Vec x, float* p) const { x.store_first(p, n); }
};

// body(i, part) for the numbers of `width` columns, a vector at a time: i is the first, `part` loads and stores.
template <class L, class Body>
inline void each(int64_t width, Body&& body) {
    const int64_t count = width * L::kColumn;
    int64_t i = 0;
    for (; i + Vec::kLanes <= count; i += Vec::kLanes) body(i, Whole{});
    if constexpr (L::kSingle)
        if (i < count) body(i, First{static_cast<int>(count - i)});
}

// body(offset) for each vector of a column.
template <class L, class Body>
inline void vectors(Body&& body) {
    for (int v = 0; v < L::kVecs; ++v) body(v * Vec::kLanes);
}

#if HEADRACE_SIMD_AVX512
inline Vec root(Vec x) { return {_mm512_sqrt_ps(x.v)}; }
#elif HEADRACE_SIMD_AVX2
inline Vec root(Vec x) { return {_mm256_sqrt_ps(x.v)}; }
#else
inline Vec root(Vec x) { return {__builtin_sqrtf(x.v)}; }
#endif

// Within 10 roundings of 2^-24 of its value, from exp of what is negative; below -86 it stays at about 4e-38.
inline Vec sigmoid(Vec x) {
    const Vec one = Vec::all(1.0f), e = exp_of(Vec::zero() - absolute(x));
    return where_greater(Vec::zero(), x, e, one) / (one + e);
}

// Within 12 roundings of 2^-24 of its value. Near zero 1 - exp(-2 |x|) would cancel, so a series in x^2 takes over.
inline Vec hyperbolic(Vec x) {
    const Vec size = absolute(x), one = Vec::all(1.0f);
    const Vec e = exp_of(Vec::all(-2.0f) * size);
    const Vec large = (one - e) / (one + e);
    const Vec square = x * x;
    Vec sum = Vec::all(62.0f / 2835);
    sum = fused(sum, square, Vec::all(-17.0f / 315));
    sum = fused(sum, square, Vec::all(2.0f / 15));
    sum = fused(sum, square, Vec::all(-1.0f / 3));
    const Vec small = fused(sum * square, x, x);
    const Vec far = where_greater(Vec::zero(), x, Vec::zero() - large, large);
    return where_greater(size, Vec::all(0.25f), far, small);
}

}  // namespace
}  // namespace hr
