// Memory to work in that belongs to a thread and only grows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace hr {

class AlignedScratch {
  public:
    // At least `count` numbers, at a multiple of 64 bytes so that no vector crosses a cache line; what was there is
    // lost.
    float* take(int64_t count) {
        if (count > size_) {
            numbers_.reset(static_cast<float*>(::operator new(static_cast<size_t>(count) * sizeof(float), kLine)));
            size_ = count;
        }
        return numbers_.get();
    }

  private:
    static constexpr std::align_val_t kLine{64};
    struct Free {
        void operator()(float* p) const { ::operator delete(p, kLine); }
    };
    std::unique_ptr<float, Free> numbers_;
    int64_t size_ = 0;
};

}  // namespace hr
