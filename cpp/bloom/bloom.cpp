#include "bloom/bloom.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#include "bloom/bloom_hash.h"
#include "bloom/bloom_table.h"
#include "core/cpu.h"
#include "core/pool.h"
#include "core/status.h"

namespace {

constexpr int64_t kMaxWords = int64_t{1} << 25;  // keeps a row's bits below 2^32, which one multiply-shift covers
constexpr int64_t kChunk = 4096;                 // keys a task

void expect(bool holds, const std::string& message) {
    if (!holds) throw std::invalid_argument(message);
}

const hr::BloomKernels& kernels_for(const hr_bloom_bank& bank) {
    if (bank.layout == HR_BLOOM_CLASSIC) return *hr::bloom_kernels_classic();
    const hr_isa isa = hr::active_isa();
#if HEADRACE_X86
    if (isa >= HR_ISA_AVX512) return *hr::bloom_kernels_avx512();
    if (isa >= HR_ISA_AVX2) return *hr::bloom_kernels_avx2();
#endif
    return *hr::bloom_kernels_scalar();
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

}  // namespace

hr_status hr_bloom_insert(const hr_bloom_bank* bank, const int64_t* rows, const int64_t* keys, int64_t n, int threads) {
    return hr::guarded([&] {
        check_bank(bank, n, 1);
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
        const hr::BloomKernels& kernels = kernels_for(*bank);
        const bool good = for_chunks(n, threads, [&](int64_t first, int64_t count) {
            return kernels.contains(*bank, rows + first * fan, fan, keys + first, count, seen + first);
        });
        if (!good) bad_row(*bank, rows, n * fan);
    });
}
