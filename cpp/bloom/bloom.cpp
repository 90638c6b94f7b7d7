#include "bloom/bloom.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "bloom/bloom_hash.h"
#include "bloom/kernels.h"
#include "core/checks.h"
#include "core/dispatch.h"
#include "core/pool.h"
#include "core/status.h"

namespace {

using hr::expect;

constexpr int64_t kMaxWords = int64_t{1} << 25;  // keeps a row's bits below 2^32, which one multiply-shift covers
constexpr int64_t kChunk = 4096;                 // keys a task

const hr::BloomKernels& kernels_for(const hr_bloom_bank& bank) {
    if (bank.layout == HR_BLOOM_CLASSIC) return hr::bloom_kernels_classic;
    return hr::pick<hr::BloomKernels>(
        {&hr::bloom_kernels_scalar, HR_X86(hr::bloom_kernels_avx2), HR_X86(hr::bloom_kernels_avx512)});
}

void check_bank(const hr_bloom_bank* bank, int64_t n, int64_t fan) {
    expect(bank != nullptr, "bank: expected a bank, got null");
    expect(bank->layout == HR_BLOOM_BLOCK || bank->layout == HR_BLOOM_CLASSIC,
           "layout: expected 0 (block) or 1 (classic), got " + std::to_string(bank->layout));
    const bool block = bank->layout == HR_BLOOM_BLOCK;
    const int most = block ? 8 : 64;
    expect(bank->hashes >= 1 && bank->hashes <= most,
           "hashes: expected 1 to " + std::to_string(most) + ", got " + std::to_string(bank->hashes));
    expect(bank->words >= 1 && bank->words <= kMaxWords,
           "bits: expected 1 to 2^25 words a row, got " + std::to_string(bank->words));
    expect(!block || bank->words % 4 == 0,
           "bits: expected a multiple of 4 words a row for the block layout, got " + std::to_string(bank->words));
    expect(bank->filters >= 0 && bank->filters <= INT64_MAX / 8 / bank->words, "bits: the bank is too large");
    hr::check_pointer("bits", bank->bits, bank->filters > 0);
    expect(n >= 0 && fan >= 0 && (fan == 0 || n <= INT64_MAX / 8 / fan), "rows: the batch is too large");
}

[[noreturn]] void bad_row(const hr_bloom_bank& bank, const int64_t* rows, int64_t count) {
    const int64_t* row = std::find_if(rows, rows + count, [&](int64_t r) { return hr::row_is_bad(r, bank.filters); });
    throw std::invalid_argument("rows: expected -1 to " + std::to_string(bank.filters - 1) + ", got " +
                                (row == rows + count ? std::string("another") : std::to_string(*row)) +
                                " at position " + std::to_string(row - rows));
}

// body(first, count) over chunks of n; false when any returned false.
template <class Body>
bool for_chunks(int64_t n, int threads, Body body) {
    std::atomic<bool> good{true};
    hr::parallel_for((n + kChunk - 1) / kChunk, hr::resolve_threads(threads), [&](int64_t task, int) {
        const int64_t first = task * kChunk;
        if (!body(first, std::min(kChunk, n - first))) good.store(false, std::memory_order_relaxed);
    });
    return good;
}

void check_lists(const hr_bloom_lists* banks, int64_t count, const int64_t* offsets, int64_t lists, int64_t n) {
    hr::check_offsets(offsets, lists, n);
    expect(count >= 0, "banks: expected at least 0");
    hr::check_pointer("banks", banks, count > 0);
    for (int64_t c = 0; c < count; ++c) {
        check_bank(&banks[c].bank, lists, banks[c].fan);
        hr::check_pointer("rows", banks[c].rows, lists > 0 && banks[c].fan > 0);
        for (int64_t i = 0; i < lists * banks[c].fan; ++i)
            hr::check_size("rows", banks[c].rows[i], -1, banks[c].bank.filters - 1);
    }
}

// Asks what one list asks of one bank.
void ask(const hr_bloom_lists& asked, int64_t list, const uint64_t* hashed, int64_t n, uint8_t* seen) {
    thread_local std::vector<const uint64_t*> filters;
    filters.clear();
    const int32_t* row = asked.rows + list * asked.fan;
    for (int64_t f = 0; f < asked.fan; ++f)
        if (row[f] >= 0) filters.push_back(asked.bank.bits + row[f] * asked.bank.words);
    if (filters.empty()) return;
    kernels_for(asked.bank).any(asked.bank, filters.data(), static_cast<int64_t>(filters.size()), hashed, n, seen);
}

}  // namespace

hr_status hr_bloom_insert(const hr_bloom_bank* bank, const int64_t* rows, const int64_t* keys, int64_t n, int threads) {
    return hr::guarded([&] {
        check_bank(bank, n, 1);
        hr::check_pointer("rows", rows, n > 0);
        hr::check_pointer("keys", keys, n > 0);
        const hr::BloomKernels& kernels = kernels_for(*bank);
        const bool good = for_chunks(n, threads, [&](int64_t first, int64_t count) {
            bool bad = false;
            for (int64_t i = first; i < first + count; ++i) bad |= hr::row_is_bad(rows[i], bank->filters);
            return !bad;
        });
        if (!good) bad_row(*bank, rows, n);
        for_chunks(n, threads, [&](int64_t first, int64_t count) {
            kernels.insert(*bank, rows + first, keys + first, count);
            return true;
        });
    });
}

hr_status hr_bloom_contains(const hr_bloom_bank* bank, const int64_t* rows, int64_t fan, const int64_t* keys, int64_t n,
                            int threads, uint8_t* seen) {
    return hr::guarded([&] {
        check_bank(bank, n, fan);
        hr::check_pointer("rows", rows, n > 0 && fan > 0);
        hr::check_pointer("keys", keys, n > 0);
        hr::check_pointer("seen", seen, n > 0);
        const hr::BloomKernels& kernels = kernels_for(*bank);
        const bool good = for_chunks(n, threads, [&](int64_t first, int64_t count) {
            return kernels.contains(*bank, rows + first * fan, fan, keys + first, count, seen + first);
        });
        if (!good) bad_row(*bank, rows, n * fan);
    });
}

hr_status hr_bloom_contains_lists(const hr_bloom_lists* banks, int64_t count, const int64_t* offsets, int64_t lists,
                                  const int64_t* keys, int64_t n, int threads, uint8_t* seen) {
    return hr::guarded([&] {
        check_lists(banks, count, offsets, lists, n);
        hr::check_pointer("keys", keys, n > 0);
        hr::check_pointer("seen", seen, n > 0);
        for_chunks(n, threads, [&](int64_t first, int64_t size) {
            thread_local std::vector<uint64_t> hashed;
            hashed.resize(kChunk);
            for (int64_t i = 0; i < size; ++i) hashed[i] = hr::hash_key(keys[first + i]);
            std::fill_n(seen + first, size, uint8_t{0});
            const int64_t end = first + size;
            int64_t list = std::upper_bound(offsets, offsets + lists + 1, first) - offsets - 1;
            for (int64_t at = first; at < end; at = std::min(end, offsets[++list])) {
                const int64_t last = std::min(end, offsets[list + 1]);
                for (int64_t c = 0; c < count; ++c) ask(banks[c], list, &hashed[at - first], last - at, seen + at);
            }
            return true;
        });
    });
}
