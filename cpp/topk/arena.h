// Scratch that a thread keeps between calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace hr {

// Take each piece twice: after `begin` to measure (null comes back), after `allocate` to get the memory.
class Arena {
  public:
    ~Arena() { release(); }

    template <class T>
    T* take(int64_t count) {
        const size_t at = used_;
        used_ += (static_cast<size_t>(count) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
        return measuring_ ? nullptr : reinterpret_cast<T*>(memory_ + at);
    }

    // Makes room for all that was taken since `begin`.
    void allocate() {
        const size_t needed = used_;
        used_ = 0;
        measuring_ = false;
        if (needed <= size_ && memory_) return;
        release();
        memory_ = static_cast<std::byte*>(::operator new (needed, std::align_val_t{kAlign}));
        size_ = needed;
    }

    void begin() {
        used_ = 0;
        measuring_ = true;
    }

    // Gives back an unusually large piece, so that one large call does not hold memory for ever.
    void end() {
        if (size_ > kKeep) release();
    }

  private:
    static constexpr size_t kAlign = 64, kKeep = size_t{128} << 20;

    void release() {
        if (memory_) ::operator delete (memory_, std::align_val_t{kAlign});
        memory_ = nullptr;
        size_ = 0;
    }

    std::byte* memory_ = nullptr;
    size_t size_ = 0, used_ = 0;
    bool measuring_ = true;
};

}  // namespace hr
