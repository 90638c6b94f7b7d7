#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "co_occurrence/co_occurrence.h"

namespace {

struct Out {
    std::vector<int64_t> offsets, item;
    std::vector<float> score;
};

struct Likes {
    std::vector<int64_t> offsets, item;
    std::vector<double> weight;
    int64_t items;

    hr_likes all() const {
        return {offsets.data(),
                static_cast<int64_t>(offsets.size()) - 1,
                item.data(),
                weight.empty() ? nullptr : weight.data(),
                static_cast<int64_t>(item.size()),
                items};
    }
};

hr_status nearest(const Likes& likes, hr_closeness_formula formula, int64_t k, int threads, Out& out) {
    const auto room = static_cast<size_t>(likes.items * std::min(k, likes.items));
    out = {std::vector<int64_t>(likes.items + 1), std::vector<int64_t>(room), std::vector<float>(room)};
    const hr_likes all = likes.all();
    return hr_co_occurrence(&all, &formula, k, threads, out.offsets.data(), out.item.data(), out.score.data());
}

// Every third item of 401 from a user's own first one on, in weights that are whole, or not.
Likes drawn(double step) {
    Likes likes{{0}, {}, {}, 401};
    for (int64_t user = 0; user < 300; ++user) {
        for (int64_t i = user % 7; i < 401; i += 1 + user % 5) {
            likes.item.push_back(i);
            likes.weight.push_back(1 + step * static_cast<double>((user + i) % 4));
        }
        likes.offsets.push_back(static_cast<int64_t>(likes.item.size()));
    }
    return likes;
}

void cosines_of_the_slides() {
    const Likes likes{{0, 1, 3, 5, 6}, {0, 0, 1, 0, 1, 1}, {2, 1, 3, 4, 1, 2}, 2};
    Out out;
    CHECK(nearest(likes, {1, 0, nullptr, nullptr, 1}, 5, 1, out) == HR_OK);
    CHECK((out.offsets == std::vector<int64_t>{0, 1, 2}));
    CHECK(out.item[0] == 1 && out.item[1] == 0);
    CHECK(std::fabs(out.score[0] - 0.408248f) < 1e-6f && out.score[0] == out.score[1]);
    CHECK(nearest(likes, {1, 0, nullptr, nullptr, 3}, 5, 1, out) == HR_OK && out.offsets[2] == 0);
}

void threads_change_nothing() {
    for (const double step : {0.0, 1.0, 0.3, 200.0})
        for (const int64_t common : {1, 2})
            for (const int cosine : {0, 1}) {
                const Likes likes = drawn(step);
                Out one, many;
                CHECK(nearest(likes, {cosine, 0, nullptr, nullptr, common}, 30, 1, one) == HR_OK);
                CHECK(nearest(likes, {cosine, 0, nullptr, nullptr, common}, 30, 3, many) == HR_OK);
                CHECK(one.offsets == many.offsets && one.item == many.item && one.score == many.score);
            }
}

void pairs_of_the_slides() {
    const Likes likes{{0, 4, 8, 11}, {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 4}, {}, 5};
    std::vector<int64_t> offsets(6), item(25);
    std::vector<float> score(25);
    const hr_likes all = likes.all();
    CHECK(hr_swing(&all, 1, 9, 2, offsets.data(), item.data(), score.data()) == HR_OK);
    CHECK(item[0] == 1 && std::fabs(score[0] - 1.733333f) < 1e-5f);
    CHECK(hr_swing(&all, 0, 9, 2, offsets.data(), item.data(), score.data()) == HR_INVALID);
    CHECK(std::string(hr_last_error()).find("alpha: expected more than 0") == 0);
}

void bad_input_is_refused() {
    const hr_closeness_formula plain{1, 0, nullptr, nullptr, 1};
    Out out;
    CHECK(nearest({{0, 2}, {1, 1}, {}, 2}, plain, 1, 1, out) == HR_INVALID);
    CHECK(std::string(hr_last_error()) == "item: expected each once in a user, got 1 twice in user 0");
    CHECK(nearest({{0, 2}, {0, 2}, {}, 2}, plain, 1, 1, out) == HR_INVALID);
    CHECK(nearest({{0, 2}, {0, 1}, {1, NAN}, 2}, plain, 1, 1, out) == HR_INVALID);
    CHECK(nearest({{0, 2}, {0, 1}, {}, 2}, plain, 0, 1, out) == HR_INVALID);
    CHECK(nearest({{0, 2}, {0, 1}, {}, 2}, {1, -1, nullptr, nullptr, 1}, 1, 1, out) == HR_INVALID);
    CHECK(nearest({{0, 2}, {0, 1}, {}, 2}, {1, 0, nullptr, nullptr, 0}, 1, 1, out) == HR_INVALID);
    const std::vector<double> row{1, NAN};
    CHECK(nearest({{0, 2}, {0, 1}, {}, 2}, {0, 0, row.data(), nullptr, 1}, 1, 1, out) == HR_INVALID);
    CHECK(nearest({{0}, {}, {}, 0}, plain, INT64_MAX, 1, out) == HR_OK);
}

}  // namespace

int main() {
    cosines_of_the_slides();
    threads_change_nothing();
    pairs_of_the_slides();
    bad_input_is_refused();
    return report("co_occurrence");
}
