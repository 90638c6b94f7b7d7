#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "topk/topk.h"

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kNone = -std::numeric_limits<float>::infinity();

// Small integers: every sum is exact, so ties are ties and the brute force needs no care.
std::vector<float> integers(int64_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<float> values(static_cast<size_t>(n));
    for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 7) - 3);
    return values;
}

struct Answer {
    std::vector<float> scores;
    std::vector<int64_t> ids;
    Answer(int64_t n_queries, int64_t k)
        : scores(static_cast<size_t>(n_queries * k), kNan), ids(static_cast<size_t>(n_queries * k), -7) {}
    bool operator==(const Answer&) const = default;
};

struct Case {
    int64_t n_queries, n_items, dim, k;
    std::vector<float> queries, items;
    std::vector<uint64_t> mask;
    int64_t stride = 0;

    Case(int64_t b, int64_t n, int64_t d, int64_t kk)
        : n_queries(b), n_items(n), dim(d), k(kk), queries(integers(b * d, 1)), items(integers(n * d, 2)) {}

    void mask_at_random(bool per_query) {
        std::mt19937_64 random(3);
        stride = per_query ? (n_items + 63) / 64 : 0;
        mask.resize(static_cast<size_t>((n_items + 63) / 64 * (per_query ? n_queries : 1)));
        for (uint64_t& word : mask) word = random() & random();
    }
    bool allowed(int64_t query, int64_t row) const {
        return mask.empty() || (mask[static_cast<size_t>(query * stride + row / 64)] >> (row % 64) & 1);
    }
    Answer brute_force(bool l2) const {
        Answer answer(n_queries, k);
        for (int64_t b = 0; b < n_queries; ++b) {
            std::vector<std::pair<double, int64_t>> ranked;  // minus the score, row
            for (int64_t row = 0; row < n_items; ++row) {
                double sum = 0;
                for (int64_t j = 0; j < dim; ++j) {
                    const double q = queries[static_cast<size_t>(b * dim + j)];
                    const double x = items[static_cast<size_t>(row * dim + j)];
                    sum += l2 ? (q - x) * (q - x) : -q * x;
                }
                if (allowed(b, row)) ranked.emplace_back(sum, row);
            }
            std::sort(ranked.begin(), ranked.end());
            for (int64_t i = 0; i < k; ++i) {
                const auto at = static_cast<size_t>(b * k + i);
                const bool there = i < static_cast<int64_t>(ranked.size());
                answer.scores[at] = there ? static_cast<float>(-ranked[static_cast<size_t>(i)].first) : kNone;
                answer.ids[at] = there ? ranked[static_cast<size_t>(i)].second : -1;
            }
        }
        return answer;
    }
    hr_status run(int metric, int threads, Answer& out) const {
        return hr_topk(queries.data(), n_queries, items.data(), n_items, dim, k, metric,
                       mask.empty() ? nullptr : mask.data(), stride, threads, out.scores.data(), out.ids.data());
    }
};

void check_case(const Case& problem) {
    for (int level = HR_ISA_SCALAR; level <= HR_ISA_AMX; ++level) {
        if (!hr_isa_usable(level)) continue;
        CHECK(hr_set_isa(level) == HR_OK);
        for (int metric : {HR_METRIC_IP, HR_METRIC_L2}) {
            const Answer expected = problem.brute_force(metric == HR_METRIC_L2);
            for (int threads : {1, 2, 3}) {
                Answer out(problem.n_queries, problem.k);
                CHECK(problem.run(metric, threads, out) == HR_OK);
                CHECK(out == expected);
            }
        }
    }
}

void answers_equal_a_brute_force() {
    for (auto [b, n, d, k] : std::vector<std::array<int64_t, 4>>{
             {1, 1, 1, 1}, {2, 0, 3, 4}, {3, 65, 7, 100}, {5, 1000, 17, 9}, {13, 700, 33, 300}, {200, 97, 5, 3}})
        check_case(Case(b, n, d, k));
}

void masks_are_obeyed() {
    for (bool per_query : {false, true}) {
        Case problem(9, 1111, 6, 40);
        problem.mask_at_random(per_query);
        check_case(problem);
    }
}

// The arrays are exactly as long as they must be: the sanitizer sees any reading beyond.
void cosine_of_awkward_vectors() {
    Case problem(4, 300, 19, 20);
    std::fill_n(problem.items.begin() + 19 * 5, 19, 0.0f);
    std::fill_n(problem.items.begin() + 19 * 9, 19, 1e-38f);
    std::fill_n(problem.items.begin() + 19 * 11, 19, 3e38f);
    Answer one(4, 20), three(4, 20);
    CHECK(problem.run(HR_METRIC_COSINE, 1, one) == HR_OK);
    CHECK(problem.run(HR_METRIC_COSINE, 3, three) == HR_OK);
    CHECK(one == three);
}

void wrong_arguments_are_refused() {
    Case problem(2, 70, 4, 3);
    Answer out(2, 3);
    const float* q = problem.queries.data();
    const float* x = problem.items.data();
    constexpr int64_t kHuge = std::numeric_limits<int64_t>::max() / 2;
    auto call = [&](int64_t b, int64_t n, int64_t d, int64_t k, int metric, int64_t stride, int threads) {
        return hr_topk(q, b, x, n, d, k, metric, nullptr, stride, threads, out.scores.data(), out.ids.data());
    };
    CHECK(call(2, 70, 4, 0, 0, 0, 1) == HR_INVALID);
    CHECK(call(-1, 70, 4, 3, 0, 0, 1) == HR_INVALID);
    CHECK(call(2, -1, 4, 3, 0, 0, 1) == HR_INVALID);
    CHECK(call(2, int64_t{1} << 40, 4, 3, 0, 0, 1) == HR_INVALID);
    CHECK(call(2, 70, 0, 3, 0, 0, 1) == HR_INVALID);
    CHECK(call(2, 70, 70000, 3, 0, 0, 1) == HR_INVALID);
    CHECK(call(kHuge, 70, 4, 3, 0, 0, 1) == HR_INVALID);
    CHECK(call(2, 70, 4, kHuge, 0, 0, 1) == HR_INVALID);
    CHECK(call(2, 70, 4, 3, 3, 0, 1) == HR_INVALID);
    CHECK(call(2, 70, 4, 3, 0, 1, 1) == HR_INVALID);
    CHECK(call(2, 70, 4, 3, 0, 0, -1) == HR_INVALID);
    CHECK(hr_topk(nullptr, 2, x, 70, 4, 3, 0, nullptr, 0, 1, out.scores.data(), out.ids.data()) == HR_INVALID);
    problem.items[69 * 4] = kNan;
    CHECK(problem.run(HR_METRIC_IP, 2, out) == HR_INVALID);
    CHECK(std::string(hr_last_error()).find("items: expected finite values, got NaN or infinity in row 69") == 0);
    problem.queries[4] = std::numeric_limits<float>::infinity();
    CHECK(problem.run(HR_METRIC_IP, 2, out) == HR_INVALID);
    CHECK(std::string(hr_last_error()).find("queries: ") == 0);
}

void many_threads_share_the_items() {
    const Case problem(40, 3000, 12, 25);
    const Answer expected = problem.brute_force(false);
    std::vector<std::thread> callers;
    std::vector<int> right(6, 0);
    for (int c = 0; c < 6; ++c)
        callers.emplace_back([&, c] {
            for (int round = 0; round < 5; ++round) {
                Answer out(problem.n_queries, problem.k);
                right[static_cast<size_t>(c)] += problem.run(HR_METRIC_IP, 1 + c % 3, out) == HR_OK && out == expected;
            }
        });
    for (auto& caller : callers) caller.join();
    for (int count : right) CHECK(count == 5);
}

}  // namespace

int main() {
    answers_equal_a_brute_force();
    masks_are_obeyed();
    cosine_of_awkward_vectors();
    wrong_arguments_are_refused();
    many_threads_share_the_items();
    return report("topk");
}
