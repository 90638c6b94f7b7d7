#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "dpp/dpp.h"

namespace {

struct Batch {
    int64_t width;
    std::vector<int64_t> offsets{0};
    std::vector<float> vectors, rewards;

    Batch(std::vector<int64_t> lengths, int64_t w, unsigned seed) : width(w) {
        std::mt19937 random(seed);
        std::normal_distribution<float> normal;
        for (int64_t n : lengths) offsets.push_back(offsets.back() + n);
        vectors.resize(static_cast<size_t>(offsets.back() * w));
        rewards.resize(static_cast<size_t>(offsets.back()));
        for (float& x : vectors) x = normal(random) / std::sqrt(static_cast<float>(w));
        for (float& x : rewards) x = normal(random);
    }
    hr_lists lists() const {
        const auto batch = static_cast<int64_t>(offsets.size()) - 1;
        return {vectors.data(), rewards.data(), offsets.data(), batch, offsets.back(),
                width,          nullptr,        nullptr,        0,     nullptr};
    }
};

struct Out {
    std::vector<int64_t> picked, ruled;
    std::vector<float> gain, logdet;
    Out(int64_t batch, int64_t k)
        : picked(static_cast<size_t>(batch * k), -7),
          ruled(static_cast<size_t>(batch * 2), -7),
          gain(static_cast<size_t>(batch * k), std::nanf("")),
          logdet(gain) {}
    hr_picks picks() { return {picked.data(), gain.data(), ruled.data(), logdet.data()}; }
    // hr_mmr leaves logdet alone.
    bool operator==(const Out& other) const {
        return picked == other.picked && ruled == other.ruled && gain == other.gain;
    }
};

// The item picked last depends on the first two.
void test_example() {
    const std::vector<float> vectors{1, 0, 0, 0.8f, 0.6f, 0, 0, 1, 0, 0.6f, 0, 0.8f}, rewards{0.9f, 0.8f, 0.7f, 0.6f};
    const std::vector<int64_t> offsets{0, 4};
    const hr_lists lists{vectors.data(), rewards.data(), offsets.data(), 1, 4, 3, nullptr, nullptr, 0, nullptr};
    Out out(1, 5);
    hr_picks picks = out.picks();
    CHECK(hr_dpp(&lists, 5, 0.5, 0, 1e-6, 1, &picks) == HR_OK);
    CHECK((out.picked == std::vector<int64_t>{0, 2, 3, 1, -1}));
    CHECK(std::abs(out.gain[2] - 0.076856f) < 1e-5f);
    CHECK(out.gain[4] == -std::numeric_limits<float>::infinity());
    CHECK(std::abs(out.logdet[2] - std::log(0.64f)) < 1e-5f);
    picks.ruled = nullptr;
    picks.logdet = nullptr;
    CHECK(hr_mmr(&lists, 5, 0.5, 1, 1, &picks) == HR_OK);
    CHECK((out.picked == std::vector<int64_t>{0, 2, 3, 1, -1}));
}

void test_same_everywhere() {
    const Batch batch({0, 1, 7, 15, 16, 17, 33, 64, 65, 130}, 19, 1);
    const hr_lists plain = batch.lists();
    std::vector<int32_t> kinds(static_cast<size_t>(plain.items * 2));
    for (size_t i = 0; i < kinds.size(); ++i) kinds[i] = static_cast<int32_t>(i * 7 % 5) - 1;
    const std::vector<int64_t> limits{3, 1, 0, 4, 2, 1};
    hr_lists ruled = plain;
    ruled.kinds = kinds.data(), ruled.limits = limits.data(), ruled.rules = 2;
    std::vector<int64_t> pinned(static_cast<size_t>(plain.batch * 30), -1);
    for (int64_t b = 1; b < plain.batch; ++b)
        pinned[static_cast<size_t>(b * 30)] = plain.offsets[b + 1] - plain.offsets[b] - 1;
    hr_lists held = ruled;
    held.pinned = pinned.data();
    for (const hr_lists* lists : {&plain, static_cast<const hr_lists*>(&ruled), static_cast<const hr_lists*>(&held)})
        for (int64_t window : {0, 1, 5, 40}) {
            Out first(plain.batch, 30), first_mmr(plain.batch, 30);
            bool have = false;
            for (int level = HR_ISA_SCALAR; level <= HR_ISA_AMX; ++level) {
                if (!hr_isa_usable(level)) continue;
                hr_set_isa(level);
                for (int threads : {1, 3}) {
                    Out dpp(plain.batch, 30), mmr(plain.batch, 30);
                    hr_picks dpp_picks = dpp.picks(), mmr_picks = mmr.picks();
                    CHECK(hr_dpp(lists, 30, 0.4, window, 1e-6, threads, &dpp_picks) == HR_OK);
                    CHECK(hr_mmr(lists, 30, 0.4, window, threads, &mmr_picks) == HR_OK);
                    if (!have) first = dpp, first_mmr = mmr, have = true;
                    CHECK(dpp == first && mmr == first_mmr);
                }
            }
        }
}

// Copies, zero vectors and numbers that float32 products cannot hold.
void test_hard_lists() {
    for (float scale : {1e-30f, 1.0f, 1e30f}) {
        Batch batch({70, 33}, 6, 5);
        const std::vector<float> plain = batch.vectors;
        for (size_t i = 0; i < batch.vectors.size(); ++i) batch.vectors[i] = i % 18 < 6 ? 0.0f : plain[i % 60] * scale;
        const hr_lists lists = batch.lists();
        for (int64_t window : {0, 1, 4, 12}) {
            Out dpp(2, 70), mmr(2, 70);
            hr_picks picks = dpp.picks();
            CHECK(hr_dpp(&lists, 70, 0.5, window, 1e-6, 1, &picks) == HR_OK);
            picks = mmr.picks();
            CHECK(hr_mmr(&lists, 70, 0.5, window, 1, &picks) == HR_OK);
            for (const Out* out : {&dpp, &mmr}) {
                std::vector<int64_t> order(out->picked.begin(), out->picked.begin() + 70);
                std::sort(order.begin(), order.end());
                for (int64_t i = 0; i < 70; ++i) CHECK(order[static_cast<size_t>(i)] == i);
            }
        }
    }
}

void test_errors() {
    const Batch batch({5}, 3, 2);
    Out out(1, 2);
    const hr_picks picks = out.picks();
    const auto refused = [&](const hr_lists& lists, int64_t k, double theta, int64_t window, double eps,
                             const char* words) {
        const hr_status status = hr_dpp(&lists, k, theta, window, eps, 1, &picks);
        CHECK(status == HR_INVALID);
        CHECK(std::string(hr_last_error()).find(words) != std::string::npos);
    };
    hr_lists lists = batch.lists();
    const double nan = std::nan("");
    refused(lists, 0, 0.5, 0, 1e-6, "k: expected at least 1");
    refused(lists, 2, nan, 0, 1e-6, "theta");
    refused(lists, 2, 1.5, 0, 1e-6, "theta");
    refused(lists, 2, 0.5, -1, 1e-6, "window");
    refused(lists, 2, 0.5, 0, 0.0, "eps");
    refused(lists, 2, 0.5, 0, nan, "eps");
    lists.width = 0;
    refused(lists, 2, 0.5, 0, 1e-6, "width");
    lists.width = std::numeric_limits<int64_t>::max();
    refused(lists, 2, 0.5, 0, 1e-6, "products");
    lists = batch.lists();
    lists.items = 4;
    refused(lists, 2, 0.5, 0, 1e-6, "offsets: expected to run from 0 to 4");
    lists = batch.lists();
    lists.offsets = nullptr;
    refused(lists, 2, 0.5, 0, 1e-6, "offsets");
    lists = batch.lists();
    lists.rules = 32;
    refused(lists, 2, 0.5, 0, 1e-6, "rules: expected 0 to 31");
    lists.rules = 1;
    refused(lists, 2, 0.5, 0, 1e-6, "kinds and limits");
    lists = batch.lists();
    const int64_t twice[] = {1, 1}, beyond[] = {5, -1};
    lists.pinned = twice;
    refused(lists, 2, 0.5, 0, 1e-6, "pinned: expected an item once at most in list 0, got item 1 twice");
    lists.pinned = beyond;
    refused(lists, 2, 0.5, 0, 1e-6, "pinned: expected -1 or an item below 5 in list 0");
    Batch spoiled({2, 3}, 3, 3);
    spoiled.vectors[10] = std::numeric_limits<float>::infinity();
    Out two(2, 2);
    const hr_picks picks_two = two.picks();
    const hr_lists bad = spoiled.lists();
    CHECK(hr_dpp(&bad, 2, 0.5, 0, 1e-6, 2, &picks_two) == HR_INVALID);
    CHECK(std::string(hr_last_error()).find("in list 1") != std::string::npos);
    CHECK(hr_mmr(nullptr, 2, 0.5, 0, 1, &picks) == HR_INVALID);
}

void test_many_callers() {
    const Batch batch({90, 40, 64}, 16, 4);
    const hr_lists lists = batch.lists();
    Out expected(3, 20);
    hr_picks picks = expected.picks();
    CHECK(hr_dpp(&lists, 20, 0.5, 6, 1e-6, 1, &picks) == HR_OK);
    std::vector<Out> outs(4, Out(3, 20));
    std::vector<std::thread> callers;
    for (Out& out : outs)
        callers.emplace_back([&] {
            for (int i = 0; i < 10; ++i) {
                const hr_picks own = out.picks();
                hr_dpp(&lists, 20, 0.5, 6, 1e-6, 2, &own);
            }
        });
    for (auto& caller : callers) caller.join();
    for (const Out& out : outs) CHECK(out == expected);
}

}  // namespace

int main() {
    test_example();
    test_same_everywhere();
    test_hard_lists();
    test_errors();
    test_many_callers();
    return report("dpp");
}
