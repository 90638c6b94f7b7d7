// Top-k of one list in scratch memory that is kept from list to list.
#pragma once

#include <cstdint>
#include <memory>

namespace hr {

class Selector {
  public:
    // The positions of the min(k, n) highest scores, best first, ties to the lower tie, then to the earlier position;
    // valid until the next call. Null when a score is NaN. n is below 2^32.
    const uint32_t* top(const float* score, const int64_t* tie, int64_t n, int64_t k);

  private:
    void reserve(int64_t n);
    uint64_t* sort(int64_t n);

    // A key is the score's order, falling, above the position.
    std::unique_ptr<uint64_t[]> keys_, spare_;
    std::unique_ptr<uint32_t[]> order_;
    int64_t room_ = 0;
};

// This thread's own.
Selector& thread_selector();

}  // namespace hr
