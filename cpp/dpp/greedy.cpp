#include "dpp/greedy.h"

#include <cmath>
#include <stdexcept>
#include <string>

#include "core/cpu.h"

namespace {

[[noreturn]] void bad(const std::string& message) { throw std::invalid_argument(message); }

void at_least(const char* name, int64_t value, int64_t least) {
    if (value < least)
        bad(std::string(name) + ": expected at least " + std::to_string(least) + ", got " + std::to_string(value));
}

void check_offsets(const hr_lists& lists) {
    const int64_t* offsets = lists.offsets;
    if (!offsets) bad("offsets: expected a pointer, got null");
    if (offsets[0] != 0 || offsets[lists.batch] != lists.items)
        bad("offsets: expected to run from 0 to " + std::to_string(lists.items) + ", got " +
            std::to_string(offsets[0]) + " to " + std::to_string(offsets[lists.batch]));
    for (int64_t b = 0; b < lists.batch; ++b)
        if (offsets[b + 1] < offsets[b])
            bad("offsets: expected no falling entries, got a fall at " + std::to_string(b));
}

void check_rules(const hr_lists& lists) {
    if (lists.rules < 0 || lists.rules > 31) bad("rules: expected 0 to 31, got " + std::to_string(lists.rules));
    if (lists.rules && (!lists.limits || (lists.items && !lists.kinds)))
        bad("rules: expected kinds and limits, got null");
    for (int64_t r = 0; r < lists.rules; ++r) {
        const int64_t* limit = lists.limits + r * 3;
        at_least("rules: span", limit[0], 1);
        at_least("rules: most", limit[1], 0);
        if (limit[2] != 0 && limit[2] != 1) bad("rules: prefix: expected 0 or 1, got " + std::to_string(limit[2]));
    }
}

}  // namespace

void hr::check_lists(const hr_lists* lists, int64_t k, double theta, int64_t window, const hr_picks* picks) {
    if (!lists || !picks) bad("lists, picks: expected pointers, got null");
    at_least("batch", lists->batch, 0);
    at_least("items", lists->items, 0);
    at_least("width", lists->width, 1);
    at_least("k", k, 1);
    at_least("window", window, 0);
    if (!(theta >= 0.0 && theta <= 1.0)) bad("theta: expected 0 to 1, got " + std::to_string(theta));
    int64_t size = 0;
    if (__builtin_mul_overflow(lists->items, lists->width, &size) || __builtin_mul_overflow(lists->batch, k, &size))
        bad("items * width, batch * k: expected products that fit 64 bits");
    if (lists->items && (!lists->vectors || !lists->rewards)) bad("vectors, rewards: expected pointers, got null");
    if (lists->batch && (!picks->picked || !picks->gain)) bad("picked, gain: expected pointers, got null");
    check_offsets(*lists);
    check_rules(*lists);
}

const hr::GreedyKernels& hr::greedy_kernels() {
#if HEADRACE_X86
    const hr_isa level = active_isa();
    if (level >= HR_ISA_AVX512) return *greedy_kernels_avx512();
    if (level >= HR_ISA_AVX2) return *greedy_kernels_avx2();
#endif
    return *greedy_kernels_scalar();
}

void hr::load(const List& list, const GreedyKernels& kernels, double theta, Scratch& scratch) {
    const int64_t width = list.batch->width;
    const char* spoiled = !kernels.finite(list.vector(0), list.n * width) ? "vectors"
                          : !kernels.finite(list.rewards(), list.n)       ? "rewards"
                                                                          : nullptr;
    if (spoiled)
        bad(std::string(spoiled) + ": expected finite numbers, got NaN or infinity in list " +
            std::to_string(list.request));
    kernels.pack(list.vector(0), list.n, width, scratch.panels.take(list.padded, width));
    double* base = scratch.base.take(list.padded);
    for (int64_t i = 0; i < list.n; ++i) base[i] = theta * static_cast<double>(list.rewards()[i]);
    std::fill(base + list.n, base + list.padded, kNothing);
}

hr::Rules::Rules(const List& list, const GreedyKernels& kernels, Scratch& scratch)
    : list_(list), kernels_(kernels), counts_(nullptr), forbidden_(nullptr) {
    if (!list.batch->rules) return;
    counts_ = scratch.counts.take(list.batch->rules, list.padded);
    forbidden_ = scratch.forbidden.take(list.padded);
    std::fill_n(counts_, list.batch->rules * list.padded, 0);
    update(nullptr, 0);
}

void hr::Rules::add(const int64_t* picked, int64_t position) {
    if (forbidden_) update(picked, position);
}

// Brings counts and forbidden to the state before pick `position`.
void hr::Rules::update(const int64_t* picked, int64_t position) {
    std::fill_n(forbidden_, list_.padded, 0u);
    for (int64_t r = 0; r < list_.batch->rules; ++r) {
        const int64_t* limit = list_.batch->limits + r * 3;
        const int64_t span = limit[0];
        if (limit[2] && position >= span) continue;
        const int32_t* kinds = list_.batch->kinds + r * list_.batch->items + list_.first;
        const int32_t enter = position >= 1 && span > 1 ? kinds[picked[position - 1]] : -1;
        const int32_t leave = position >= span && span > 1 ? kinds[picked[position - span]] : -1;
        const auto most = static_cast<int32_t>(std::min<int64_t>(limit[1], std::numeric_limits<int32_t>::max()));
        kernels_.rule(kinds, list_.n, enter, leave, most, 1u << r, counts_ + r * list_.padded, forbidden_);
    }
}

int64_t hr::Rules::choose(const double* score) {
    const Best any = kernels_.best(score, nullptr, list_.padded);
    if (!forbidden_) return any.index;
    Best allowed = kernels_.best(score, forbidden_, list_.padded);
    if (allowed.index < 0) ++relaxed_;
    for (int64_t kept = list_.batch->rules; allowed.index < 0; --kept) {
        // The dropped rule's bit is the highest left.
        for (int64_t i = 0; i < list_.n; ++i) forbidden_[i] &= (1u << (kept - 1)) - 1u;
        allowed = kernels_.best(score, forbidden_, list_.padded);
    }
    overruled_ += allowed.index != any.index;
    return allowed.index;
}

void hr::Rules::report(int64_t* ruled) const {
    ruled[0] = relaxed_;
    ruled[1] = overruled_;
}
