// Checks of arguments that several ops share; each throws std::invalid_argument naming the argument.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace hr {

[[noreturn]] inline void bad(const std::string& message) { throw std::invalid_argument(message); }

inline void expect(bool holds, const std::string& message) {
    if (!holds) bad(message);
}

// Words are made only where they are needed: for loops over entries, in which `expect` would make them every time.
[[noreturn, gnu::noinline, gnu::cold]] inline void bad_entry(const char* name, int64_t least, int64_t most,
                                                             int64_t got) {
    bad(std::string(name) + ": expected " + std::to_string(least) + " to " + std::to_string(most) + ", got " +
        std::to_string(got));
}

// Sizes stay small enough that the product of a few of them fits 64 bits.
inline void check_size(const char* name, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most) bad_entry(name, least, most, value);
}

// `place` says where: "request" or "candidate". Row r has `width` numbers.
inline void check_finite(const char* name, const char* place, const float* x, int64_t rows, int64_t width,
                         int64_t first = 0) {
    uint32_t wrong = 0;
    for (int64_t i = 0; i < rows * width; ++i) {
        uint32_t bits;
        std::memcpy(&bits, x + i, sizeof bits);
        wrong |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    if (!wrong) return;
    for (int64_t i = 0; i < rows * width; ++i)
        if (!(x[i] - x[i] == 0))
            bad(std::string(name) + ": expected finite numbers, got NaN or infinity in " + place + " " +
                std::to_string(first + i / width));
}

template <class Index>
void check_indices(const char* name, const Index* x, int64_t count, int64_t size) {
    bool wrong = false;
    for (int64_t i = 0; i < count; ++i) wrong |= static_cast<uint64_t>(x[i]) >= static_cast<uint64_t>(size);
    if (!wrong) return;
    for (int64_t i = 0; i < count; ++i)
        if (x[i] < 0 || x[i] >= size)
            bad(std::string(name) + ": expected 0 to " + std::to_string(size - 1) + ", got " + std::to_string(x[i]));
}

// Null is fine where nothing is there to be read or written.
inline void check_pointer(const char* name, const void* pointer, bool needed = true) {
    if (needed && !pointer) bad(std::string(name) + ": expected a pointer, got null");
}

// The entries of a list, first .. last - 1.
struct Range {
    int64_t first, last;
};

// Out of line, so that the check itself is two comparisons.
[[noreturn, gnu::noinline, gnu::cold]] inline void bad_list(const char* name, int64_t list, Range run,
                                                            int64_t entries) {
    bad(std::string(name) + ": expected list " + std::to_string(list) + " to rise within 0 to " +
        std::to_string(entries) + ", got " + std::to_string(run.first) + " to " + std::to_string(run.last));
}

// List `list`, whose offsets may have changed since somebody checked them; they are read once.
inline Range list_at(const char* name, const int64_t* offsets, int64_t list, int64_t entries) {
    const Range run{offsets[list], offsets[list + 1]};
    const auto first = static_cast<uint64_t>(run.first), last = static_cast<uint64_t>(run.last);
    if (first > last || last > static_cast<uint64_t>(entries)) bad_list(name, list, run, entries);
    return run;
}

inline void check_offsets(const int64_t* offsets, int64_t batch, int64_t count) {
    check_pointer("offsets", offsets);
    if (batch < 0 || count < 0) bad("offsets: expected sizes of at least 0");
    if (offsets[0] != 0 || offsets[batch] != count)
        bad("offsets: expected to run from 0 to " + std::to_string(count) + ", got " + std::to_string(offsets[0]) +
            " to " + std::to_string(offsets[batch]));
    for (int64_t b = 0; b < batch; ++b)
        if (offsets[b] > offsets[b + 1])
            bad("offsets: expected no falling entries, got a fall at " + std::to_string(b));
}

}  // namespace hr
