// Rows as the steps see them, written once for a block of candidates and for a single request.
//
// Column j of a stage is kColumn numbers from j * kColumn on. What is done to each number alone runs over many columns
// at once, in both layouts; what is summed up over columns runs lane by lane.
#pragma once

#include "network/functions.h"
#include "network/plan.h"

namespace hr {
namespace {

constexpr int kBlockVecs = 2;
constexpr int kBlock = kBlockVecs * Vec::kLanes;
// Outputs that are summed together: their sums fill half of the registers.
constexpr int kTile = Vec::kLanes == 16 ? 8 : 4;
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

}  // namespace
}  // namespace hr
