#include <cstdint>
#include <vector>

#include "check.h"
#include "lookup_pairs/lookup_pairs.h"

namespace {

// Two lists over codes {1, 4} and {4}; row e + 1 holds e + 1 in every column.
void rows_of_pairs() {
    const std::vector<int64_t> lists{0, 2, 3}, offsets{0, 3, 3, 5}, key{0, 1, -1, 4, 4, 4};
    const std::vector<int32_t> codes{1, 4, 4}, item_code{4, 1, -1, 7};
    const std::vector<float> rows{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3};
    const std::vector<hr_pair_table> tables{{lists.data(), 2, codes.data(), 3, rows.data(), 3, item_code.data(), 4},
                                            {lists.data(), 2, codes.data(), 3, rows.data(), 3, nullptr, 0}};
    std::vector<int64_t> item{0, 1, 0, 1, 0};
    std::vector<float> out(5 * 6, -1.0f);
    auto call = [&](const std::vector<int64_t>& keys, int64_t n) {
        return hr_lookup_pairs(tables.data(), 2, keys.data(), 3, offsets.data(), item.data(), n, 2, out.data());
    };
    CHECK(call(key, 5) == HR_OK);
    const float by_request[] = {2, 1, 2, 0, 0}, by_item[] = {2, 3, 2, 3, 2};
    bool right = true;
    for (int i = 0; i < 5; ++i)
        for (int c = 0; c < 3; ++c) right &= out[i * 6 + c] == by_request[i] && out[i * 6 + 3 + c] == by_item[i];
    CHECK(right);
    CHECK(call(key, 4) == HR_INVALID);
    CHECK(call({0, 1, 2, 4, 4, 4}, 5) == HR_INVALID);
    CHECK(call({0, 1, -1, 4, 4, INT64_MAX}, 5) == HR_OK);
    item[4] = 2;
    CHECK(call(key, 5) == HR_INVALID);
    item[4] = -1;
    CHECK(call(key, 5) == HR_INVALID);
}

}  // namespace

int main() {
    rows_of_pairs();
    return report("lookup_pairs");
}
