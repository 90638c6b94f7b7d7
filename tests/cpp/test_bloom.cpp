#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "bloom/bloom.h"
#include "check.h"

namespace {

std::vector<int64_t> numbers(int64_t n, int64_t first) {
    std::vector<int64_t> out(n);
    for (int64_t i = 0; i < n; ++i) out[i] = first + i;
    return out;
}

void every_level_keeps_what_was_inserted() {
    for (int layout : {HR_BLOOM_BLOCK, HR_BLOOM_CLASSIC})
        for (int level = HR_ISA_SCALAR; level <= HR_ISA_AMX; ++level) {
            if (!hr_isa_usable(level)) continue;
            CHECK(hr_set_isa(level) == HR_OK);
            for (int64_t n : {0, 1, 31, 32, 33, 65, 5000}) {
                std::vector<uint64_t> bits(3 * 1024);
                const hr_bloom_bank bank{bits.data(), 3, 1024, 8, layout};
                std::vector<int64_t> rows(n), keys = numbers(n, -5);
                for (int64_t i = 0; i < n; ++i) rows[i] = i % 4 - 1;
                CHECK(hr_bloom_insert(&bank, rows.data(), keys.data(), n, 2) == HR_OK);
                std::vector<uint8_t> seen(n, 7);
                CHECK(hr_bloom_contains(&bank, rows.data(), 1, keys.data(), n, 2, seen.data()) == HR_OK);
                bool right = true;
                for (int64_t i = 0; i < n; ++i) right &= seen[i] == (rows[i] >= 0);
                CHECK(right);
            }
        }
}

void callers_share_a_bank() {
    std::vector<uint64_t> bits(2 * 64);
    const hr_bloom_bank bank{bits.data(), 2, 64, 4, HR_BLOOM_BLOCK};
    std::vector<std::thread> callers;
    for (int c = 0; c < 4; ++c)
        callers.emplace_back([&, c] {
            const std::vector<int64_t> rows(200, c % 2), keys = numbers(200, 1000 * c);
            std::vector<uint8_t> seen(200);
            for (int64_t at = 0; at < 200; at += 10) {
                hr_bloom_insert(&bank, &rows[at], &keys[at], 10, 1);
                hr_bloom_contains(&bank, rows.data(), 1, keys.data(), at + 10, 1, seen.data());
                bool all = true;
                for (int64_t i = 0; i < at + 10; ++i) all &= seen[i];
                if (!all) std::abort();
            }
        });
    for (auto& caller : callers) caller.join();
    CHECK(true);
}

void lists_share_their_filters() {
    for (int layout : {HR_BLOOM_BLOCK, HR_BLOOM_CLASSIC}) {
        std::vector<uint64_t> small(3 * 64), large(2 * 512);
        const hr_bloom_bank banks[] = {{small.data(), 3, 64, 8, layout}, {large.data(), 2, 512, 5, layout}};
        const std::vector<int64_t> keys = numbers(30, 7), in_small(10, 2), in_large(10, 1);
        CHECK(hr_bloom_insert(&banks[0], in_small.data(), keys.data(), 10, 1) == HR_OK);
        CHECK(hr_bloom_insert(&banks[1], in_large.data(), keys.data() + 10, 10, 1) == HR_OK);
        // List 0 asks both, list 1 has no keys, list 2 asks nothing that holds any.
        std::vector<int64_t> asked = keys;
        asked.insert(asked.end(), keys.begin(), keys.end());
        const int64_t offsets[] = {0, 30, 30, 60};
        int32_t first[] = {-1, 2, 0, 1, 0, -1}, second[] = {1, 0, 0};
        const hr_bloom_lists lists[] = {{banks[0], first, 2}, {banks[1], second, 1}};
        std::vector<uint8_t> seen(60, 7);
        CHECK(hr_bloom_contains_lists(lists, 2, offsets, 3, asked.data(), 60, 2, seen.data()) == HR_OK);
        bool right = true;
        for (int i = 0; i < 60; ++i) right &= seen[i] == (i < 20);
        CHECK(right);
        first[5] = 3;
        CHECK(hr_bloom_contains_lists(lists, 2, offsets, 3, asked.data(), 60, 2, seen.data()) == HR_INVALID);
        first[5] = -1;
        CHECK(hr_bloom_contains_lists(lists, 2, offsets, 3, asked.data(), 61, 2, seen.data()) == HR_INVALID);
        CHECK(hr_bloom_contains_lists(lists, 0, offsets, 3, asked.data(), 60, 2, seen.data()) == HR_OK && !seen[0]);
    }
}

void bad_input_changes_nothing() {
    std::vector<uint64_t> bits(8);
    hr_bloom_bank bank{bits.data(), 2, 4, 8, HR_BLOOM_BLOCK};
    const int64_t rows[] = {0, 2}, keys[] = {1, 2};
    uint8_t seen[2];
    CHECK(hr_bloom_insert(&bank, rows, keys, 2, 1) == HR_INVALID);
    CHECK(std::string(hr_last_error()) == "rows: expected -1 to 1, got 2 at position 1");
    CHECK(bits == std::vector<uint64_t>(8));
    CHECK(hr_bloom_contains(&bank, rows, 1, keys, 2, 1, seen) == HR_INVALID);
    CHECK(hr_bloom_insert(&bank, rows, keys, -1, 1) == HR_INVALID);
    CHECK(hr_bloom_contains(&bank, rows, INT64_MAX, keys, 2, 1, seen) == HR_INVALID);
    CHECK(hr_bloom_insert(nullptr, rows, keys, 1, 1) == HR_INVALID);
    bank.words = 6;
    CHECK(hr_bloom_insert(&bank, rows, keys, 1, 1) == HR_INVALID);
    bank = {bits.data(), INT64_MAX, 4, 8, HR_BLOOM_BLOCK};
    CHECK(hr_bloom_insert(&bank, rows, keys, 1, 1) == HR_INVALID);
    bank = {bits.data(), 2, 4, 9, HR_BLOOM_BLOCK};
    CHECK(hr_bloom_insert(&bank, rows, keys, 1, 1) == HR_INVALID);
    bank = {bits.data(), 2, 4, 8, 7};
    CHECK(hr_bloom_insert(&bank, rows, keys, 1, 1) == HR_INVALID);
}

}  // namespace

int main() {
    every_level_keeps_what_was_inserted();
    callers_share_a_bank();
    lists_share_their_filters();
    bad_input_changes_nothing();
    return report("bloom");
}
