#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "pool_items/pool_items.h"

namespace {

struct Out {
    std::vector<int64_t> offsets, item, lists;
    std::vector<float> score;
    std::vector<int32_t> rank;
};

hr_status call(const std::vector<int64_t>& offsets, int64_t lists, const std::vector<int64_t>& item,
               const double* score, int64_t k, int64_t room, Out& out) {
    const auto batch = static_cast<int64_t>(offsets.size()) / lists - 1;
    const std::vector<int64_t> limits(lists, INT64_MAX);
    out = {std::vector<int64_t>(batch + 1), std::vector<int64_t>(room), std::vector<int64_t>(room),
           std::vector<float>(room), std::vector<int32_t>(room * lists)};
    const hr_item_lists all{offsets.data(), lists, batch, item.data(), score, static_cast<int64_t>(item.size()),
                            limits.data(),  60.0};
    return hr_pool_items(&all, k, 2, room, out.offsets.data(), out.item.data(), out.score.data(), out.lists.data(),
                         out.rank.data());
}

void equal_items_add_up() {
    Out out;
    const std::vector<int64_t> offsets{0, 2, 2, 2, 4, 5}, item{7, 5, 5, 9, 3};
    CHECK(call(offsets, 2, item, nullptr, 2, 5, out) == HR_OK);
    CHECK((out.offsets == std::vector<int64_t>{0, 2, 3}));
    CHECK((std::vector<int64_t>(out.item.begin(), out.item.begin() + 3) == std::vector<int64_t>{5, 7, 3}));
    CHECK((std::vector<int64_t>(out.lists.begin(), out.lists.begin() + 3) == std::vector<int64_t>{3, 1, 2}));
    CHECK(out.score[0] == static_cast<float>(1.0 / 62 + 1.0 / 61));
    CHECK((std::vector<int32_t>(out.rank.begin(), out.rank.begin() + 6) == std::vector<int32_t>{2, 1, 1, 0, 0, 1}));
    const std::vector<double> score{1, 2, -5, 4, 0};
    CHECK(call({0, 3, 5}, 1, {1, 1, 2, 8, 8}, score.data(), 9, 5, out) == HR_OK);
    CHECK(out.item[0] == 1 && out.score[0] == 3 && out.item[1] == 2 && out.item[2] == 8 && out.score[2] == 4);
    CHECK((std::vector<int32_t>(out.rank.begin(), out.rank.begin() + 3) == std::vector<int32_t>{1, 3, 1}));
}

void bad_input_is_refused() {
    Out out;
    CHECK(call({0, 2}, 1, {4, 4}, nullptr, 3, 2, out) == HR_INVALID);
    CHECK(std::string(hr_last_error()) == "item: expected each once in a list, got one twice in list 0");
    const std::vector<double> score{1, NAN};
    CHECK(call({0, 2}, 1, {4, 5}, score.data(), 3, 2, out) == HR_INVALID);
    CHECK(call({0, 3}, 1, {4, 5}, nullptr, 3, 3, out) == HR_INVALID);
    CHECK(call({0, 2}, 1, {4, 5}, nullptr, 3, 1, out) == HR_INVALID);
    CHECK(call({0, 2}, 1, {4, 5}, nullptr, 0, 2, out) == HR_INVALID);
    CHECK(call({0, 2}, 1, {4, INT64_MIN}, nullptr, INT64_MAX, 2, out) == HR_OK);
}

}  // namespace

int main() {
    equal_items_add_up();
    bad_input_is_refused();
    return report("pool_items");
}
