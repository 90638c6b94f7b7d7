#include "topk/mask_plan.h"

#include <algorithm>

#include "topk/kernels.h"

namespace {

// Measured: how many products of packed panels cost as much as one of a gathered tile, and how many products of a scan
// for many queries as much as one of a single query's gathered items.
constexpr int64_t kGathered = 5, kAlonePacked = 48, kAlone = 24;
constexpr int64_t kRuns = 64, kRun = 8;  // what is looked at: a cache line here and there

}  // namespace

hr::MaskPlan hr::plan_masks(const uint64_t* mask, int64_t mask_stride, int64_t n_queries, int64_t n_items,
                            bool packed) {
    const int64_t words = (n_items + 63) / 64, step = std::max(kRun, words / kRuns);
    const int64_t masks = mask_stride ? n_queries : 1;
    int64_t own = 0, any = 0, in_panels = 0;
    const auto see = [&](int64_t word) {
        uint64_t bits = 0;
        for (int64_t b = 0; b < masks; ++b) {
            own += __builtin_popcountll(mask[b * mask_stride + word]);
            bits |= mask[b * mask_stride + word];
        }
        any += __builtin_popcountll(bits);
        in_panels += kPanel * (((bits & 0xffffffffu) != 0) + (bits >> 32 != 0));
    };
    for (int64_t run = 0; run < words; run += step)
        for (int64_t word = run; word < std::min(run + kRun, words); ++word) see(word);
    const bool gather = any * kGathered < in_panels;
    const int64_t together = packed && !gather ? in_panels : any;
    const bool alone = masks > 1 && own * (packed && !gather ? kAlonePacked : kAlone) < masks * together;
    return {gather || alone, alone};
}
