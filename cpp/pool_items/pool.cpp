#include "pool_items/pool.h"

#include "segment_topk/selector.h"

int64_t hr::ItemPool::best(int64_t k, int64_t* item, float* score, int64_t* lists) {
    if (static_cast<int64_t>(rounded_.size()) < size_) {
        rounded_.resize(size_);
        tie_.resize(size_);
        place_.resize(size_);
    }
    std::fill_n(place_.begin(), size_, -1);
    for (int64_t i = 0; i < size_; ++i) {
        rounded_[i] = static_cast<float>(groups_[i].sum);
        tie_[i] = groups_[i].item;
    }
    const uint32_t* order = thread_selector().top(rounded_.data(), tie_.data(), size_, k);
    if (!order) return -1;
    const int64_t kept = std::min(size_, k);
    for (int64_t i = 0; i < kept; ++i) {
        item[i] = groups_[order[i]].item;
        score[i] = rounded_[order[i]];
        if (lists) lists[i] = groups_[order[i]].lists;
        place_[order[i]] = static_cast<int32_t>(i);
    }
    return kept;
}

hr::ItemPool& hr::thread_item_pool() {
    thread_local ItemPool pool;
    return pool;
}
