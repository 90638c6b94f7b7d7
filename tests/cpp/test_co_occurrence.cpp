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
    std::vector<uint8_t> kept = {};

    hr_likes all() const {
        return {offsets.data(),
                static_cast<int64_t>(offsets.size()) - 1,
                item.data(),
                weight.empty() ? nullptr : weight.data(),
                static_cast<int64_t>(item.size()),
                items,
                kept.empty() ? nullptr : kept.data()};
    }
};

hr_status nearest(const Likes& likes, hr_closeness_formula formula, int64_t k, int threads, Out& out) {
    const auto room = static_cast<size_t>(likes.items * std::min(k, likes.items));
    out = {std::vector<int64_t>(likes.items + 1), std::vector<int64_t>(room), std::vector<float>(room)};
    const hr_likes all = likes.all();
    return hr_co_occurrence(&all, &formula, k, threads, out.offsets.data(), out.item.data(), out.score.data());
}

// Every third item of 401 from a user's own first one on, in weights that are whole, or not.
Likes drawn(double step, int64_t users = 300) {
    Likes likes{{0}, {}, {}, 401};
    for (int64_t user = 0; user < users; ++user) {
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

// The whole lists without those of the others, cut to k; in rows that reach few items and in rows that reach many.
Out only_kept(const Out& whole, const Likes& likes, int64_t k) {
    Out found{{0}, {}, {}};
    for (int64_t i = 0; i < likes.items; ++i) {
        for (int64_t at = whole.offsets[i]; at < whole.offsets[i + 1]; ++at) {
            if (!likes.kept[whole.item[at]] || static_cast<int64_t>(found.item.size()) - found.offsets[i] == k)
                continue;
            found.item.push_back(whole.item[at]);
            found.score.push_back(whole.score[at]);
        }
        found.offsets.push_back(static_cast<int64_t>(found.item.size()));
    }
    return found;
}

bool same(const Out& found, const Out& expected) {
    const auto count = static_cast<int64_t>(expected.item.size());
    return found.offsets == expected.offsets &&
           std::equal(expected.item.begin(), expected.item.end(), found.item.begin()) &&
           std::equal(expected.score.begin(), expected.score.end(), found.score.begin()) &&
           found.offsets.back() == count;
}

void lists_hold_what_is_kept() {
    for (const double step : {0.0, 1.0, 0.3})
        for (const int64_t users : {3, 50})
            for (const hr_closeness_formula formula :
                 {hr_closeness_formula{1, 0, nullptr, nullptr, 2}, hr_closeness_formula{1, 2, nullptr, nullptr, 1},
                  hr_closeness_formula{0, 0, nullptr, nullptr, 1}}) {
                Likes likes = drawn(step, users);
                if (users == 3) likes.items *= 10;
                Out whole, found;
                CHECK(nearest(likes, formula, 401, 2, whole) == HR_OK);
                for (const int64_t third : {0, 1, 2, 3}) {
                    likes.kept.assign(likes.items, 0);
                    for (int64_t i = 0; i < likes.items; ++i)
                        likes.kept[i] = static_cast<uint8_t>(i % 3 == third ? 2 : 0);
                    CHECK(nearest(likes, formula, 9, 2, found) == HR_OK);
                    CHECK(same(found, only_kept(whole, likes, 9)));
                }
            }
}

void pairs_hold_what_is_kept() {
    const Likes likes{{0, 4, 8, 11}, {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 4}, {}, 5, {0, 0, 1, 1, 1}};
    std::vector<int64_t> offsets(6), item(10);
    std::vector<float> score(10);
    const hr_likes all = likes.all();
    CHECK(hr_swing(&all, 1, 2, 2, offsets.data(), item.data(), score.data()) == HR_OK);
    CHECK((offsets == std::vector<int64_t>{0, 2, 4, 5, 6, 6}));
    CHECK((std::vector<int64_t>(item.begin(), item.begin() + 6) == std::vector<int64_t>{2, 3, 2, 3, 3, 2}));
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
    lists_hold_what_is_kept();
    pairs_hold_what_is_kept();
    bad_input_is_refused();
    return report("co_occurrence");
}
