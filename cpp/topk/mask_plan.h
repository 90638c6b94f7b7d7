// How masks decide the way of a search.
#pragma once

#include <cstdint>

namespace hr {

struct MaskPlan {
    bool gather = false;  // allowed rows are gathered and scanned in float32, though a packed catalogue is there
    bool alone = false;   // each query reads only its own allowed items, rather than all that any query may have
};

// Looks at some of the words. mask: as in hr_topk, not null. packed: there is such a catalogue. unpacks: there are no
// vectors beside it.
MaskPlan plan_masks(const uint64_t* mask, int64_t mask_stride, int64_t n_queries, int64_t n_items, bool packed,
                    bool unpacks);

}  // namespace hr
