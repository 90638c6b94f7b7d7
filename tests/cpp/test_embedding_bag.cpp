#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "embedding_bag/embedding_bag.h"

namespace {

// Two tables (dims 17 and 64) of `rows` rows; the value of an element is its row plus a hundredth of its column.
struct Tables {
    std::vector<float> values;
    hr_embedding_table table[2];
    hr_embedding_tables all;

    explicit Tables(int64_t rows)
        : values(rows * (32 + 64)), table{{0, 0, rows, 17, 0}, {rows * 32, rows, rows, 64, 17}} {
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t c = 0; c < 17; ++c) values[r * 32 + c] = static_cast<float>(r + c / 100.0);
            for (int64_t c = 0; c < 64; ++c) values[rows * 32 + r * 64 + c] = static_cast<float>(r + c / 100.0);
        }
        all = {values.data(), static_cast<int64_t>(values.size()), nullptr, 0, HR_EMBEDDING_FLOAT32, table, 2};
    }
};

void sums_are_right_at_every_level() {
    const Tables tables(9);
    const std::vector<int64_t> indices{0, 8, 3, 3, 3, 7, 1}, offsets{0, 2, 2, 5, 6, 6, 7};
    for (int level = HR_ISA_SCALAR; level <= HR_ISA_AMX; ++level) {
        if (!hr_isa_usable(level)) continue;
        CHECK(hr_set_isa(level) == HR_OK);
        for (int threads : {1, 2, 3}) {
            std::vector<float> out(3 * 81, NAN);
            CHECK(hr_embedding_bag(&tables.all, indices.data(), 7, offsets.data(), 3, nullptr, HR_POOLING_SUM, threads,
                                   81, out.data()) == HR_OK);
            const double rows[2][3] = {{8, 0, 9}, {7, 0, 1}}, sizes[2][3] = {{2, 0, 3}, {1, 0, 1}};
            bool right = true;
            for (int b = 0; b < 3; ++b)
                for (int c = 0; c < 81; ++c) {
                    const int t = c >= 17;
                    const double expected = rows[t][b] + sizes[t][b] * (t ? c - 17 : c) / 100.0;
                    right &= std::abs(out[b * 81 + c] - expected) < 1e-5;
                }
            CHECK(right);
        }
    }
}

void bad_input_is_refused() {
    const Tables tables(9);
    std::vector<float> out(3 * 81);
    const std::vector<int64_t> offsets{0, 2, 2, 5, 6, 6, 7}, falls{0, 2, 1, 5, 6, 6, 7}, beyond{0, 9, 2, 5, 6, 6, 7};
    std::vector<int64_t> indices{0, 8, 3, 3, 3, 9, 1};
    auto call = [&](const std::vector<int64_t>& o, int64_t batch, int64_t width) {
        return hr_embedding_bag(&tables.all, indices.data(), 7, o.data(), batch, nullptr, HR_POOLING_SUM, 2, width,
                                out.data());
    };
    CHECK(call(offsets, 3, 81) == HR_INVALID);
    CHECK(std::string(hr_last_error()) == "indices: expected 0 to 8 in table 1, got 9 at position 5");
    indices[5] = 0;
    CHECK(call(offsets, 3, 81) == HR_OK);
    CHECK(call(falls, 3, 81) == HR_INVALID);
    CHECK(call(beyond, 3, 81) == HR_INVALID);
    CHECK(call(offsets, 3, 80) == HR_INVALID);
    CHECK(call(offsets, INT64_MAX, 81) == HR_INVALID);
    Tables cut(9);
    cut.all.value_count -= 1;
    CHECK(hr_embedding_bag(&cut.all, indices.data(), 7, offsets.data(), 3, nullptr, HR_POOLING_SUM, 1, 81,
                           out.data()) == HR_INVALID);
}

}  // namespace

int main() {
    sums_are_right_at_every_level();
    bad_input_is_refused();
    return report("embedding_bag");
}
