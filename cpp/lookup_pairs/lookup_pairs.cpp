#include "lookup_pairs/lookup_pairs.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/checks.h"
#include "core/pool.h"
#include "core/status.h"

namespace {

using hr::expect;

constexpr int64_t kCandidatesPerTask = 2048;
// Hashing a list pays when there are at least so many candidates for each of its entries.
constexpr int64_t kEntriesPerCandidate = 8;
constexpr int64_t kMostColumns = int64_t{1} << 20;

// The entries of one list by code: open addressing, at most an eighth full.
class Lookup {
  public:
    void fill(const int32_t* codes, int64_t first, int64_t last) {
        int bits = 5;
        while ((int64_t{1} << bits) < 8 * (last - first)) ++bits;
        shift_ = 64 - bits;
        mask_ = (uint64_t{1} << bits) - 1;
        slots_.assign(mask_ + 1, {-1, 0});
        for (int64_t e = first; e < last; ++e) {
            uint64_t at = place(codes[e]);
            while (slots_[at].code >= 0) at = (at + 1) & mask_;
            slots_[at] = {codes[e], e + 1};
        }
    }
    // The row of `code`, 0 where the list has none. Nearly always the first slot says, without a branch to guess.
    int64_t find(int32_t code) const {
        uint64_t at = place(code);
        while ((slots_[at].code != code) & (slots_[at].code >= 0)) [[unlikely]] at = (at + 1) & mask_;
        const Slot slot = slots_[at];
        return slot.row & -static_cast<int64_t>(slot.code == code);
    }

  private:
    struct Slot {
        int32_t code;
        int64_t row;
    };
    uint64_t place(int32_t code) const { return static_cast<uint32_t>(code) * uint64_t{0x9E3779B97F4A7C15u} >> shift_; }

    std::vector<Slot> slots_;
    uint64_t mask_ = 0;
    int shift_ = 60;
};

int64_t search(const hr_pair_table& table, hr::Range list, int64_t code) {
    const int32_t* last = table.codes + list.last;
    const int32_t* at = std::lower_bound(table.codes + list.first, last, code);
    return at != last && *at == code ? at - table.codes + 1 : 0;
}

// The widths of statistics are small; a call of memcpy would cost more than the copy.
void copy_row(const float* from, int64_t width, float* to) {
    if (width == 4) {
        std::memcpy(to, from, 4 * sizeof(float));
        return;
    }
    for (int64_t c = 0; c < width; ++c) to[c] = from[c];
}

struct Run {
    int64_t key;
    const int64_t* item;
    int64_t n;
    float* out;  // the first candidate's columns
    int64_t stride;
};

void serve(const hr_pair_table& table, const Run& run) {
    auto write = [&](int64_t i, int64_t row) {
        copy_row(table.rows + row * table.width, table.width, run.out + i * run.stride);
    };
    const auto list = [&](int64_t of) { return hr::list_at("tables: offsets", table.offsets, of, table.entries); };
    if (!table.item_code) {
        expect(std::all_of(run.item, run.item + run.n,
                           [&](int64_t i) { return static_cast<uint64_t>(i) < static_cast<uint64_t>(table.lists); }),
               "item: expected 0 to " + std::to_string(table.lists - 1) + ", got another");
        for (int64_t i = 0; i < run.n; ++i) write(i, run.key < 0 ? 0 : search(table, list(run.item[i]), run.key));
        return;
    }
    expect(std::all_of(run.item, run.item + run.n,
                       [&](int64_t i) { return static_cast<uint64_t>(i) < static_cast<uint64_t>(table.items); }),
           "item: expected 0 to " + std::to_string(table.items - 1) + ", got another");
    expect(run.key >= -1 && run.key < table.lists,
           "key: expected -1 to " + std::to_string(table.lists - 1) + ", got " + std::to_string(run.key));
    const hr::Range its = run.key < 0 ? hr::Range{0, 0} : list(run.key);
    const auto [first, last] = its;
    if (first == last) {
        for (int64_t i = 0; i < run.n; ++i) write(i, 0);
    } else if (last - first > kEntriesPerCandidate * run.n) {
        for (int64_t i = 0; i < run.n; ++i) {
            const int32_t code = table.item_code[run.item[i]];
            write(i, code < 0 ? 0 : search(table, its, code));
        }
    } else {
        thread_local Lookup lookup;
        lookup.fill(table.codes, first, last);
        for (int64_t i = 0; i < run.n; ++i) write(i, lookup.find(table.item_code[run.item[i]]));
    }
}

int64_t check_tables(const hr_pair_table* tables, int64_t count) {
    int64_t width = 0;
    for (int64_t t = 0; t < count; ++t) {
        const hr_pair_table& table = tables[t];
        expect(table.lists >= 0 && table.entries >= 0 && table.width >= 0 && table.width <= kMostColumns,
               "tables: expected lists of codes and rows of numbers");
        hr::check_pointer("tables: offsets", table.offsets);
        hr::check_pointer("tables: codes", table.codes, table.entries > 0);
        hr::check_pointer("tables: rows", table.rows, table.width > 0);
        expect(table.offsets[0] == 0 && table.offsets[table.lists] == table.entries,
               "tables: expected offsets from 0 to " + std::to_string(table.entries));
        width += table.width;
    }
    expect(width <= kMostColumns, "tables: expected fewer columns");
    return width;
}

}  // namespace

hr_status hr_lookup_pairs(const hr_pair_table* tables, int64_t count, const int64_t* key, int64_t batch,
                          const int64_t* offsets, const int64_t* item, int64_t n, int threads, float* out) {
    return hr::guarded([&] {
        expect(count >= 0, "tables: expected at least 0");
        hr::check_pointer("tables", tables, count > 0);
        const int64_t width = check_tables(tables, count);
        hr::check_offsets(offsets, batch, n);
        hr::check_pointer("key", key, count > 0 && batch > 0);
        hr::check_pointer("item", item, n > 0);
        hr::check_pointer("out", out, n > 0 && width > 0);
        const int64_t tasks = 1 + n / kCandidatesPerTask;
        hr::parallel_for(tasks, hr::resolve_threads(threads), [&](int64_t task, int) {
            int64_t first = n * task / tasks;
            const int64_t end = n * (task + 1) / tasks;
            int64_t request = std::upper_bound(offsets, offsets + batch + 1, first) - offsets - 1;
            for (; first < end; ++request) {
                const int64_t last = std::min(end, offsets[request + 1]);
                if (last <= first) continue;
                int64_t column = 0;
                for (int64_t t = 0; t < count; ++t) {
                    serve(tables[t],
                          {key[t * batch + request], item + first, last - first, out + first * width + column, width});
                    column += tables[t].width;
                }
                first = last;
            }
        });
    });
}
