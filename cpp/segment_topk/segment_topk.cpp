#include "segment_topk/segment_topk.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "core/checks.h"
#include "core/pool.h"
#include "core/status.h"
#include "segment_topk/selector.h"

namespace {

using hr::expect;

constexpr int64_t kEntriesPerThread = 2048;

[[noreturn]] void bad_score(const float* score, int64_t first, int64_t last) {
    const float* at = std::find_if(score + first, score + last, [](float s) { return s != s; });
    throw std::invalid_argument("score: expected numbers, got NaN at position " + std::to_string(at - score));
}

}  // namespace

hr_status hr_segment_topk(const int64_t* offsets, int64_t segments, const float* score, const int64_t* tie, int64_t nnz,
                          int64_t k, int threads, int64_t* index, int64_t room, int64_t* out_offsets) {
    return hr::guarded([&] {
        expect(k >= 1, "k: expected at least 1, got " + std::to_string(k));
        expect(segments >= 0 && nnz >= 0 && nnz < int64_t{1} << 32, "score: expected fewer than 2^32 entries");
        hr::check_offsets(offsets, segments, nnz);
        hr::check_pointer("score", score, nnz > 0);
        hr::check_pointer("tie", tie, nnz > 0);
        hr::check_pointer("out_offsets", out_offsets);
        hr::check_pointer("index", index, nnz > 0);
        out_offsets[0] = 0;
        for (int64_t s = 0; s < segments; ++s)
            out_offsets[s + 1] = out_offsets[s] + std::min(k, offsets[s + 1] - offsets[s]);
        expect(out_offsets[segments] <= room, "index: expected more room");
        const int most = static_cast<int>(std::min<int64_t>(hr::resolve_threads(threads), 1 + nnz / kEntriesPerThread));
        hr::parallel_for(segments, most, [&](int64_t s, int) {
            const int64_t first = offsets[s];
            const uint32_t* best = hr::thread_selector().top(score + first, tie + first, offsets[s + 1] - first, k);
            if (!best) bad_score(score, first, offsets[s + 1]);
            int64_t* to = index + out_offsets[s];
            for (int64_t i = 0; i < out_offsets[s + 1] - out_offsets[s]; ++i) to[i] = first + best[i];
        });
    });
}
