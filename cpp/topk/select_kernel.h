// Survivors in vectors: appending, counting and thinning. Included by files of one instruction set.
#pragma once

#include "core/simd.h"
#include "topk/kernels.h"

namespace hr {
namespace {

#if HEADRACE_SIMD_AVX512

// Compressed in a register and stored whole: a compressing store is microcode on some machines.
inline void store_chosen(__mmask16 chosen, __m512 scores, __m512i rows, Survivors& to) {
    _mm512_storeu_ps(to.scores + to.count, _mm512_maskz_compress_ps(chosen, scores));
    _mm512_storeu_si512(to.rows + to.count, _mm512_maskz_compress_epi32(chosen, rows));
    to.count += __builtin_popcount(chosen);
}

// Adds the lanes whose bit is set. May overwrite kSlack entries past the end.
inline void append(Vec scores, uint32_t chosen, const int32_t* rows, Survivors& to) {
    store_chosen(static_cast<__mmask16>(chosen), scores.v, _mm512_loadu_si512(rows), to);
}

// The same for rows that follow one another.
inline void append_run(Vec scores, uint32_t chosen, int32_t first_row, Survivors& to) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    store_chosen(static_cast<__mmask16>(chosen), scores.v, _mm512_add_epi32(_mm512_set1_epi32(first_row), lanes), to);
}

[[maybe_unused]] void keep_at_least(Survivors& survivors, float limit) {
    const int64_t n = survivors.count;
    survivors.count = 0;
    for (int64_t i = 0; i < n; i += 16) {
        const auto there = static_cast<__mmask16>(n - i < 16 ? (1u << (n - i)) - 1 : 0xffffu);
        const __m512 scores = _mm512_maskz_loadu_ps(there, survivors.scores + i);
        const __m512i rows = _mm512_maskz_loadu_epi32(there, survivors.rows + i);
        const __mmask16 kept = _mm512_mask_cmp_ps_mask(there, scores, _mm512_set1_ps(limit), _CMP_GE_OQ);
        store_chosen(kept, scores, rows, survivors);
    }
}

#else

inline void append(Vec scores, uint32_t chosen, const int32_t* rows, Survivors& to) {
    float lanes[Vec::kLanes];
    scores.store(lanes);
    for (; chosen; chosen &= chosen - 1) {
        const int lane = __builtin_ctz(chosen);
        to.add(lanes[lane], rows[lane]);
    }
}

inline void append_run(Vec scores, uint32_t chosen, int32_t first_row, Survivors& to) {
    float lanes[Vec::kLanes];
    scores.store(lanes);
    for (; chosen; chosen &= chosen - 1) {
        const int lane = __builtin_ctz(chosen);
        to.add(lanes[lane], first_row + lane);
    }
}

[[maybe_unused]] void keep_at_least(Survivors& survivors, float limit) {
    int64_t kept = 0;
    for (int64_t i = 0; i < survivors.count; ++i) {
        survivors.scores[kept] = survivors.scores[i];
        survivors.rows[kept] = survivors.rows[i];
        kept += survivors.scores[kept] >= limit;
    }
    survivors.count = kept;
}

#endif

[[maybe_unused]] int64_t count_at_least(const float* values, int64_t n, float t) {
    int32_t count = 0;  // n is below 2^31; a narrow count keeps the loop in vectors
    for (int64_t i = 0; i < n; ++i) count += values[i] >= t;
    return count;
}

[[maybe_unused]] void range(const float* values, int64_t n, float& least, float& most) {
    constexpr int L = Vec::kLanes;
    Vec low = Vec::all(values[0]), high = low;
    int64_t i = 0;
    for (; i + L <= n; i += L) {
        const Vec v = Vec::load(values + i);
        low = min(v, low);
        high = max(v, high);
    }
    float lows[L], highs[L];
    low.store(lows);
    high.store(highs);
    least = lows[0];
    most = highs[0];
    for (int lane = 1; lane < L; ++lane) {
        least = lows[lane] < least ? lows[lane] : least;
        most = highs[lane] > most ? highs[lane] : most;
    }
    for (; i < n; ++i) {
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
}

}  // namespace
}  // namespace hr
