#include "dpp/rules.h"

hr::Rules::Rules(const List& list, const GreedyKernels& kernels, int64_t steps, Scratch& scratch)
    : list_(list), kernels_(kernels), count_(list.batch->rules), room_(steps + 1) {
    if (!count_) return;
    kinds_ = scratch.kinds.take(count_, list.padded);
    present_ = scratch.present.take(count_, room_);
    many_ = scratch.counts.take(count_, room_);
    blocked_ = scratch.blocked.take(count_, room_);
    lengths_ = scratch.lengths.take(count_, 2);
    active_ = reinterpret_cast<Active*>(scratch.active.take(count_, sizeof(Active)));
    std::fill_n(lengths_, count_ * 2, int64_t{0});
    for (int64_t r = 0; r < count_; ++r) {
        const int32_t* kinds = list.batch->kinds + r * list.batch->items + list.first;
        int32_t* out = kinds_ + r * list.padded;
        for (int64_t slot = 0; slot < list.n; ++slot) out[slot] = kinds[list.items[slot]];
        std::fill(out + list.n, out + list.padded, -1);
    }
}

hr::Rules::Rule hr::Rules::rule(int64_t r) const {
    const int64_t* limit = list_.batch->limits + r * 3;
    return {limit[0],
            limit[1],
            limit[2] != 0,
            kinds_ + r * list_.padded,
            present_ + r * room_,
            many_ + r * room_,
            blocked_ + r * room_,
            lengths_ + r * 2,
            lengths_ + r * 2 + 1};
}

bool hr::Rules::hold(int64_t kept) {
    actives_ = 0;
    for (int64_t r = 0; r < kept; ++r) {
        const Rule it = rule(r);
        if ((*it.blocks || it.most == 0) && !(it.prefix && position_ >= it.span))
            active_[actives_++] = {it.kinds, it.blocked, *it.blocks, it.most == 0};
    }
    return actives_;
}

uint32_t hr::Rules::forbidden(int64_t panel) const {
    uint32_t lanes = 0;
    for (int64_t a = 0; a < actives_; ++a) {
        const Active& it = active_[a];
        const int32_t* kinds = it.kinds + panel * kPanel;
        if (it.all)
            for (int64_t lane = 0; lane < kPanel; ++lane) lanes |= static_cast<uint32_t>(kinds[lane] >= 0) << lane;
        else
            lanes |= kernels_.among(kinds, it.blocked, it.blocks);
    }
    return lanes;
}

void hr::Rules::add(const int64_t* slots, int64_t position) {
    position_ = position + 1;
    for (int64_t r = 0; r < count_; ++r) {
        const Rule it = rule(r);
        if (it.span == 1 || it.most == 0) continue;
        if (position_ >= it.span) shift(it, it.kinds[slots[position_ - it.span]], -1);
        shift(it, it.kinds[slots[position]], 1);
        *it.blocks = 0;
        for (int64_t i = 0; i < *it.presents; ++i)
            if (it.many[i] >= it.most) it.blocked[(*it.blocks)++] = it.present[i];
    }
}

void hr::Rules::shift(const Rule& rule, int32_t kind, int32_t by) {
    if (kind < 0) return;
    const int64_t at = std::find(rule.present, rule.present + *rule.presents, kind) - rule.present;
    if (at == *rule.presents) {
        rule.present[at] = kind;
        rule.many[at] = 0;
        ++*rule.presents;
    }
    rule.many[at] += by;
    if (rule.many[at]) return;
    const int64_t last = --*rule.presents;
    rule.present[at] = rule.present[last];
    rule.many[at] = rule.many[last];
}
