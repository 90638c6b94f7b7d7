#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "two_hop/two_hop.h"

namespace {

struct Tables {
    std::vector<int64_t> user_offsets{0, 3, 3}, seed{1, 0, 1}, item_offsets{0, 2, 4}, item{8, 5, 5, 9},
        time{20, 10, 7, 7};
    std::vector<float> weight{2, 1, 4}, strength{0.5f, 0.25f, 1, 3};
    hr_edges seeds() const { return {user_offsets.data(), 2, seed.data(), weight.data(), nullptr, 3}; }
    hr_edges items() const { return {item_offsets.data(), 2, item.data(), strength.data(), nullptr, 4}; }
};

struct Out {
    std::vector<int64_t> offsets, item;
    std::vector<float> score;
};

hr_status call(const hr_edges& seeds, const hr_edges& items, const std::vector<int64_t>& users, const int64_t* now,
               int64_t limit, int share, int64_t k, Out& out) {
    const auto batch = static_cast<int64_t>(users.size());
    const auto room = static_cast<size_t>(batch * std::min(k < 0 ? 0 : k, items.entries));
    out = {std::vector<int64_t>(users.size() + 1), std::vector<int64_t>(room), std::vector<float>(room)};
    return hr_two_hop(users.data(), now, batch, &seeds, &items, limit, share, k, 2, out.offsets.data(), out.item.data(),
                      out.score.data());
}

void ways_add_up() {
    const Tables t;
    Out out;
    CHECK(call(t.seeds(), t.items(), {0, -1, 1, 0}, nullptr, INT64_MAX, 0, 9, out) == HR_OK);
    CHECK((out.offsets == std::vector<int64_t>{0, 3, 3, 3, 6}));
    CHECK(out.item[3] == 9 && out.score[3] == 18 && out.item[4] == 5 && out.score[4] == 6.25f && out.item[5] == 8);
    CHECK(call(t.seeds(), t.items(), {0}, nullptr, INT64_MAX, 1, 1, out) == HR_OK);
    CHECK(out.offsets[1] == 1 && out.item[0] == 5 && std::abs(out.score[0] - 6.0f / 7) < 1e-6f);
    CHECK(call(t.seeds(), t.items(), {0, 0}, nullptr, 1, 0, INT64_MAX, out) == HR_OK);
    CHECK((out.offsets == std::vector<int64_t>{0, 2, 4}));
}

void times_and_ranks() {
    const Tables t;
    Out out;
    hr_edges items = t.items();
    items.weight = nullptr;
    items.time = t.time.data();
    const std::vector<int64_t> now{10, INT64_MIN};
    CHECK(call(t.seeds(), items, {0, 0}, now.data(), 5, 0, 9, out) == HR_OK);
    CHECK((out.offsets == std::vector<int64_t>{0, 2, 2}));
    CHECK(out.item[0] == 5 && out.score[0] == 7 && out.item[1] == 9 && out.score[1] == 3);
    CHECK(call(t.seeds(), items, {0}, nullptr, 5, 0, 9, out) == HR_INVALID);
}

void bad_input_is_refused() {
    Tables t;
    Out out;
    CHECK(call(t.seeds(), t.items(), {2}, nullptr, 9, 0, 9, out) == HR_INVALID);
    CHECK(std::string(hr_last_error()) == "users: expected rows from -1 to 1, got 2");
    CHECK(call(t.seeds(), t.items(), {-2}, nullptr, 9, 0, 9, out) == HR_INVALID);
    CHECK(call(t.seeds(), t.items(), {0}, nullptr, 0, 0, 9, out) == HR_INVALID);
    CHECK(call(t.seeds(), t.items(), {0}, nullptr, 9, 0, 0, out) == HR_INVALID);
    t.weight = {NAN, 1, 1};
    CHECK(call(t.seeds(), t.items(), {0}, nullptr, 9, 0, 9, out) == HR_INVALID);
    CHECK(call(t.seeds(), t.items(), {0}, nullptr, 9, 1, 9, out) == HR_INVALID);
    t.weight = {INFINITY, -INFINITY, 1};
    CHECK(call(t.seeds(), t.items(), {0}, nullptr, 9, 1, 9, out) == HR_INVALID);
    t.weight = {1, -3, 4};
    CHECK(call(t.seeds(), t.items(), {0}, nullptr, 9, 1, 9, out) == HR_OK);
    t.seed[1] = 2;
    CHECK(call(t.seeds(), t.items(), {0}, nullptr, 9, 0, 9, out) == HR_INVALID);
    t.seed[1] = -1;
    CHECK(call(t.seeds(), t.items(), {0}, nullptr, 9, 0, 9, out) == HR_INVALID);
}

}  // namespace

int main() {
    ways_add_up();
    times_and_ranks();
    bad_input_is_refused();
    return report("two_hop");
}
