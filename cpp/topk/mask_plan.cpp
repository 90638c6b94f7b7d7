#include "topk/mask_plan.h"

#include <algorithm>

#include "topk/kernels.h"

namespace {

// Measured, in nanoseconds at 64 dimensions: what each item of a panel with an allowed one costs, what an allowed one
// costs on top, and for each query of a block.
struct Cost {
    double in_panel, allowed, query;
};
constexpr Cost kGathered{0, 50, 1.6}, kUnpacked{2.5, 60, 2};
constexpr double kScanned = 3.3, kScannedQuery = 0.46;  // each item of such a panel, where panels are scanned
// How many products of a scan for many queries cost as much as one of a single query's gathered items.
constexpr int64_t kAlonePacked = 48, kAlone = 24, kAloneUnpacked = 120;
constexpr int64_t kBlock = 256;          // queries that share a pass
constexpr int64_t kRuns = 64, kRun = 8;  // what is looked at: a cache line here and there

}  // namespace

hr::MaskPlan hr::plan_masks(const uint64_t* mask, int64_t mask_stride, int64_t n_queries, int64_t n_items, bool packed,
                            bool unpacks) {
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
    const auto block = static_cast<double>(std::min(n_queries, kBlock));
    const Cost cost = unpacks ? kUnpacked : kGathered;
    const bool gather = static_cast<double>(any) * (cost.allowed + cost.query * block) <
                        static_cast<double>(in_panels) * (kScanned - cost.in_panel + kScannedQuery * block);
    const int64_t together = packed && !gather ? in_panels : any;
    const int64_t each = packed && !gather ? (unpacks ? kAloneUnpacked : kAlonePacked) : kAlone;
    const bool alone = masks > 1 && own * each < masks * together;
    return {gather || alone, alone};
}
