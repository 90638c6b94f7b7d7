// Candidates against one request's recent vectors, built once for each instruction set.
//
// The recent vectors lie transposed, one lane each, so a candidate's element is multiplied into all of them at once
// and no product is ever summed across lanes: the width of the vectors cannot change a bit.
#include <cstdint>

#include "closeness/kernels.h"
#include "core/simd.h"

namespace hr {
namespace {

constexpr int kTogether = 4;  // candidates that share each load of the lanes
constexpr int kVecs = Vec::kLanes == 1 ? 4 : 2;
constexpr int64_t kAhead = 8;
constexpr float kLargest = 3.402823466e38f;

// Candidates at[0 .. Count) against lanes v .. v + Vecs - 1 vectors; each running maximum in `highest`.
template <int Count, int Vecs>
inline void against(const ClosenessCall& call, const float* const* at, int64_t v, Vec* highest, float* mean) {
    Vec sum[Count][Vecs];
    for (auto& row : sum)
        for (Vec& s : row) s = Vec::zero();
    const float* lanes = call.lanes + v * Vec::kLanes;
    for (int64_t d = 0; d < call.dim; ++d, lanes += call.width) {
        Vec lane[Vecs];
        for (int i = 0; i < Vecs; ++i) lane[i] = Vec::load(lanes + i * Vec::kLanes);
        for (int c = 0; c < Count; ++c) {
            const Vec x = Vec::all(at[c][d]);
            for (int i = 0; i < Vecs; ++i) sum[c][i] = sum[c][i] + x * lane[i];
        }
    }
    for (int c = 0; c < Count; ++c) {
        if (v == 0) {
            // The mean is no candidate for the maximum.
            mean[c] = sum[c][0].first();
            sum[c][0] = sum[c][0].without_first();
        }
        for (int i = 0; i < Vecs; ++i) highest[c] = max(sum[c][i], highest[c]);
    }
}

template <int Count>
inline bool block(const ClosenessCall& call, int64_t first) {
    const float* at[Count];
    for (int c = 0; c < Count; ++c) at[c] = call.content + call.item[first + c] * call.dim;
    Vec highest[Count];
    for (Vec& h : highest) h = Vec::all(-kLargest);
    float mean[Count] = {};
    const int64_t vecs = call.width / Vec::kLanes;
    for (int64_t v = 0; v < vecs; v += kVecs) {
        if (v + kVecs <= vecs)
            against<Count, kVecs>(call, at, v, highest, mean);
        else
            for (int64_t one = v; one < vecs; ++one) against<Count, 1>(call, at, one, highest, mean);
    }
    bool finite = true;
    for (int c = 0; c < Count; ++c) {
        const float top = highest[c].highest();
        finite &= mean[c] >= -kLargest && mean[c] <= kLargest && top <= kLargest;
        call.out[(first + c) * 2] = mean[c];
        call.out[(first + c) * 2 + 1] = top;
    }
    return finite;
}

bool closeness(const ClosenessCall& call) {
    bool finite = true;
    int64_t i = 0;
    for (; i + kTogether <= call.n; i += kTogether) {
        if (i + kAhead + kTogether <= call.n)
            for (int c = 0; c < kTogether; ++c) __builtin_prefetch(call.content + call.item[i + kAhead + c] * call.dim);
        finite &= block<kTogether>(call, i);
    }
    for (; i < call.n; ++i) finite &= block<1>(call, i);
    return finite;
}

constexpr ClosenessKernels kKernels{closeness};

}  // namespace
}  // namespace hr
