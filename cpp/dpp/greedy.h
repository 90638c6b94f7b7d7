// What the greedy loops of DPP and MMR share: scratch memory, one list of the batch, the rules, and the loop itself.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>

#include "core/pool.h"
#include "dpp/dpp.h"
#include "dpp/kernels.h"

namespace hr {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

// Memory that only grows, aligned to a cache line, so that a thread's later calls allocate nothing.
template <class T>
class Buffer {
  public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { release(); }

    // At least rows * width elements; what they held is lost when it grows.
    T* take(int64_t rows, int64_t width = 1) {
        int64_t size = 0;
        if (__builtin_mul_overflow(rows, width, &size) || size > (int64_t{1} << 58)) throw std::bad_alloc();
        if (size > size_) {
            release();
            data_ = static_cast<T*>(::operator new(sizeof(T) * static_cast<size_t>(size), kAlign));
            size_ = size;
        }
        return data_;
    }

  private:
    static constexpr std::align_val_t kAlign{64};
    void release() {
        ::operator delete(data_, kAlign);
        data_ = nullptr;
        size_ = 0;
    }
    T* data_ = nullptr;
    int64_t size_ = 0;
};

// One list of the batch.
struct List {
    const hr_lists* batch;
    int64_t request, first, n, padded;
    const float* vector(int64_t i) const { return batch->vectors + (first + i) * batch->width; }
    const float* rewards() const { return batch->rewards + first; }
};

// What one thread keeps from list to list.
struct Scratch {
    Buffer<float> panels;
    Buffer<double> columns, base, d2, score, weight;
    Buffer<int64_t> active, dormant;
    Buffer<int32_t> counts;
    Buffer<uint32_t> forbidden;
};

// Throws std::invalid_argument for what both calls have in common.
void check_lists(const hr_lists* lists, int64_t k, double theta, int64_t window, const hr_picks* picks);

const GreedyKernels& greedy_kernels();

// Panels of the list's vectors and base = theta * reward (-infinity in the padding). Throws when one is not finite.
void load(const List& list, const GreedyKernels& kernels, double theta, Scratch& scratch);

// The rules of one list: which items each of them forbids, given the picks so far.
class Rules {
  public:
    Rules(const List& list, const GreedyKernels& kernels, Scratch& scratch);
    // The next pick, given every item's score. Relaxes from the last rule on when all of them leave nothing.
    int64_t choose(const double* score);
    void add(const int64_t* picked, int64_t position);
    void report(int64_t* ruled) const;

  private:
    void update(const int64_t* picked, int64_t position);
    const List& list_;
    const GreedyKernels& kernels_;
    int32_t* counts_;
    uint32_t* forbidden_;
    int64_t relaxed_ = 0, overruled_ = 0;
};

// Picks min(k, n) items of one list. Objective: score(), gain(i), add(i).
template <class Objective>
void pick_list(const List& list, const GreedyKernels& kernels, Scratch& scratch, int64_t k, Objective& objective,
               const hr_picks& picks) {
    int64_t* picked = picks.picked + list.request * k;
    float* gain = picks.gain + list.request * k;
    const int64_t steps = std::min(k, list.n);
    Rules rules(list, kernels, scratch);
    for (int64_t t = 0; t < steps; ++t) {
        const int64_t item = rules.choose(objective.score());
        picked[t] = item;
        gain[t] = static_cast<float>(objective.gain(item));
        if (t + 1 == steps) break;
        objective.add(picked, t);
        rules.add(picked, t + 1);
    }
    std::fill(picked + steps, picked + k, int64_t{-1});
    std::fill(gain + steps, gain + k, -std::numeric_limits<float>::infinity());
    if (picks.ruled) rules.report(picks.ruled + list.request * 2);
}

// Runs body(list, kernels, scratch) for every list of the batch on the pool's threads.
template <class Body>
void each_list(const hr_lists& lists, int threads, Body&& body) {
    const GreedyKernels& kernels = greedy_kernels();
    parallel_for(lists.batch, resolve_threads(threads), [&](int64_t request, int) {
        thread_local Scratch scratch;
        const int64_t first = lists.offsets[request], n = lists.offsets[request + 1] - first;
        body(List{&lists, request, first, n, (n + kPanel - 1) / kPanel * kPanel}, kernels, scratch);
    });
}

}  // namespace hr
