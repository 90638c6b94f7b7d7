// Memory of the greedy loops that a thread keeps from list to list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace hr {

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

struct Scratch {
    // The packed list and its pins.
    Buffer<float> panels, blank, scanned, first_products;
    Buffer<uint8_t> packed;
    Buffer<uint32_t> masks;
    Buffer<double> squares, norms, rewards;
    Buffer<int64_t> items, buckets, pins, slots;
    // The objectives' state.
    Buffer<double> base, d2, drift, lower, upper, ceiling, later, guesses, vectors, query;
    Buffer<float> columns, queries, peaks;
    Buffer<int64_t> applied, epoch, seen, stage, history, dormant, visited;
    // The basis of DPP.
    Buffer<double> rows, factor, weights, rest;
    Buffer<float> moves, signs;
    Buffer<int64_t> members;
    // The rules.
    Buffer<int32_t> kinds, present, counts, blocked;
    Buffer<int64_t> lengths;
    Buffer<std::byte> active;
};

}  // namespace hr
