#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "check.h"
#include "network/network.h"

namespace {

using Code = std::vector<int64_t>;

std::mt19937& random_numbers() {
    static std::mt19937 random(7);
    return random;
}

std::vector<float> draw(int64_t n, float scale = 1) {
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> out(n);
    for (float& x : out) x = normal(random_numbers());
    return out;
}

void add(Code& code, std::initializer_list<int64_t> step) {
    code.insert(code.end(), step);
    code.resize((code.size() + HR_NETWORK_ENCODED - 1) / HR_NETWORK_ENCODED * HR_NETWORK_ENCODED);
}

constexpr int64_t kInputs = 5, kOwn = 3, kItems = 40, kItemWidth = 7, kCodes = 6, kCodeWidth = 4, kDim = 3,
                  kLongest = 4;
constexpr int64_t kWeights = 200, kTargets = 2;

// Every instruction in the pair stage but fold, which the request stage has. Exactly as large as it says, so that the
// sanitizers see every step outside.
struct Network {
    std::vector<float> weights = draw(kWeights, 0.3f), items = draw(kItems * kItemWidth),
                       codes = draw(kCodes * kCodeWidth);
    Code request, pair;
    int64_t request_columns = 60, pair_columns = 120;

    Network() {
        add(request, {0, 0, kInputs, -1, -1, -1, 0});    // rows: 0-4
        add(request, {2, 5, 4, 0, 3, 0, 12, 4});         // fold: 5-16
        add(request, {1, 17, 19, 0, 5, 24, 19, -1, 1});  // affine: 17-35
        add(request, {8, 36, kDim, 17, 0, 1});           // attend: 36-38
        add(request, {9, 39, kDim, 0});                  // mean: 39-41
        add(request, {14, 42, 4, 17, 3, 2});             // normalise: 42-53
        add(pair, {0, 0, 4, 3, 2, 0, -1});               // rows: 0-3
        add(pair, {0, 4, kOwn, -1, -1, -1, 0});          // rows: 4-6
        add(pair, {0, 7, 8, 20, -1, -1, -1});            // rows: 7-14
        add(pair, {1, 15, 9, 0, 7, 10, 9, 3});           // affine: 15-23
        add(pair, {1, 15, 9, 7, 8, 80, 9, -2, 1});       // affine on
        add(pair, {1, 24, 4, 4, 3, 5, 4, -1, 0, 1});     // affine of the request's own: 24-27
        add(pair, {3, 28, 5, 7});                        // constant: 28-32
        add(pair, {4, 24, 4, 24, 3, 0});                 // tanh
        add(pair, {4, 33, 6, 0, 2, 0});                  // sigmoid: 33-38
        add(pair, {5, 39, 12, 0, 24, 2, 3, 4});          // multiply: 39-50
        add(pair, {6, 39, 4, 3});                        // softmax
        add(pair, {7, 51, 5, 39, 15, 3});                // mix: 51-55
        add(pair, {8, 56, kDim, 4, 0, 1});               // attend: 56-58
        add(pair, {9, 59, kDim, 0});                     // mean: 59-61
        add(pair, {10, 62, 4, 0, 3});                    // fm: 62-65
        add(pair, {11, 66, 2, 0, 8, 4, 0});              // pairs: 66-77
        add(pair, {11, 78, 2, 0, 8, 4, 1});              // pairs, summed up: 78-83
        add(pair, {12, 84, 4, 0, 20, 40, 3, 2, 1});      // self attention: 84-95
        add(pair, {13, 96, 4, 84, 3, 0});                // reduce within: 96-98
        add(pair, {13, 99, 4, 84, 3, 1});                // reduce across: 99-102
        add(pair, {14, 103, 5, 15, 3, 2});               // normalise: 103-117
        add(pair, {1, 118, 2, 51, 67, 3, 2, 0});         // affine: 118-119
        weights[2] = 0.1f;
    }

    hr_network_program view() const {
        const auto steps = [](const Code& code) { return static_cast<int64_t>(code.size()) / HR_NETWORK_ENCODED; };
        return {{steps(request), request.data(), request_columns, 0, 54},
                {steps(pair), pair.data(), pair_columns, 118, kTargets},
                kWeights,
                weights.data(),
                kItems,
                kItemWidth,
                items.data(),
                kCodes,
                kCodeWidth,
                codes.data(),
                kInputs,
                kOwn,
                0,
                nullptr};
    }
};

struct Call {
    std::vector<int64_t> offsets, item;
    std::vector<int32_t> codes, counts;
    std::vector<float> inputs, entries, own;
    hr_network_sequence sequence{};

    explicit Call(const std::vector<int64_t>& sizes) {
        offsets.push_back(0);
        for (int64_t size : sizes) offsets.push_back(offsets.back() + size);
        const auto batch = static_cast<int64_t>(sizes.size()), n = offsets.back();
        for (int64_t c = 0; c < n; ++c) {
            item.push_back(c * 7 % kItems);
            for (int64_t f = 0; f < 2; ++f) codes.push_back(static_cast<int32_t>((c + f) % kCodes));
        }
        for (int64_t b = 0; b < batch; ++b) counts.push_back(static_cast<int32_t>(b % (kLongest + 1)));
        inputs = draw(batch * kInputs);
        entries = draw(batch * kLongest * kDim);
        own = draw(n * kOwn);
    }

    hr_network_requests requests() {
        sequence = {kDim, kLongest, entries.data(), counts.data()};
        return {static_cast<int64_t>(counts.size()), inputs.data(), 1, &sequence};
    }
    hr_network_candidates candidates() const {
        return {static_cast<int64_t>(item.size()), offsets.data(), item.data(), 2, codes.data(), own.data()};
    }
};

std::vector<float> answer(const Network& net, Call& call, int threads) {
    const hr_network_program program = net.view();
    const hr_network_requests requests = call.requests();
    const hr_network_candidates candidates = call.candidates();
    std::vector<float> out(kTargets * call.item.size(), NAN);
    CHECK(hr_network(&program, &requests, &candidates, threads, out.data()) == HR_OK);
    return out;
}

void check_logits() {
    const Network net;
    Call call({5, 0, 40, 1, 33, 64, 129});
    const std::vector<float> expected = answer(net, call, 1);
    for (float x : expected)
        if (!std::isfinite(x)) {
            CHECK(false);
            return;
        }
    for (int level = HR_ISA_SCALAR; level <= HR_ISA_AVX512; ++level)
        for (int threads = 1; hr_isa_usable(level) && threads <= 3; ++threads) {
            CHECK(hr_set_isa(level) == HR_OK);
            const std::vector<float> got = answer(net, call, threads);
            CHECK(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)) == 0);
        }
}

// A layer by hand: logits = item row x W + start.
void check_a_layer() {
    Network net;
    net.pair.clear();
    add(net.pair, {0, 0, kItemWidth, -1, 0, -1, -1});
    add(net.pair, {1, 118, kTargets, 0, kItemWidth, 10, kTargets, 50});
    Call call({37});
    const std::vector<float> got = answer(net, call, 2);
    const auto n = static_cast<int64_t>(call.item.size());
    for (int64_t c = 0; c < n; ++c)
        for (int64_t t = 0; t < kTargets; ++t) {
            double sum = net.weights[50 + t];
            for (int64_t k = 0; k < kItemWidth; ++k)
                sum +=
                    static_cast<double>(net.items[call.item[c] * kItemWidth + k]) * net.weights[10 + k * kTargets + t];
            CHECK(std::abs(got[t * n + c] - sum) < 1e-5);
        }
}

void check_refusals() {
    const Network net;
    Call call({3, 2});
    float out[kTargets * 5];
    auto refused =
        [&](const char* word,
            const std::function<void(hr_network_program&, hr_network_requests&, hr_network_candidates&)>& change) {
            hr_network_program program = net.view();
            hr_network_requests requests = call.requests();
            hr_network_candidates candidates = call.candidates();
            change(program, requests, candidates);
            return hr_network(&program, &requests, &candidates, 1, out) == HR_INVALID &&
                   std::strstr(hr_last_error(), word) != nullptr;
        };
    CHECK(hr_network(nullptr, nullptr, nullptr, 1, out) == HR_INVALID);
    CHECK(refused("pair.columns", [](auto& p, auto&, auto&) { p.pair.columns = int64_t{1} << 40; }));
    CHECK(refused("pair.width", [](auto& p, auto&, auto&) { p.pair.width = 0; }));
    CHECK(refused("pair result", [](auto& p, auto&, auto&) { p.pair.out = 119; }));
    CHECK(refused("request.code", [](auto& p, auto&, auto&) { p.request.code = nullptr; }));
    CHECK(refused("weights", [](auto& p, auto&, auto&) { p.weight_count = 60; }));
    CHECK(refused("null", [](auto& p, auto&, auto&) { p.item_rows = nullptr; }));
    CHECK(refused("item", [](auto& p, auto&, auto&) { p.item_width = 4; }));
    CHECK(refused("sequence", [](auto&, auto& r, auto&) { r.sequence_count = 0; }));
    CHECK(refused("batch", [](auto&, auto& r, auto&) { r.batch = -1; }));
    CHECK(refused("null", [](auto&, auto& r, auto&) { r.inputs = nullptr; }));
    CHECK(refused("fields", [](auto&, auto&, auto& c) { c.fields = 65; }));
    CHECK(refused("offsets", [](auto&, auto&, auto& c) { c.count = 4; }));
    CHECK(refused("null", [](auto&, auto&, auto& c) { c.inputs = nullptr; }));
    auto nothing = [](auto&, auto&, auto&) {};
    call.item[4] = kItems;
    CHECK(refused("item", nothing));
    call.item[4] = 0;
    call.codes[1] = -1;
    CHECK(refused("codes", nothing));
    call.codes[1] = 0;
    call.counts[0] = kLongest + 1;
    CHECK(refused("counts", nothing));
    call.counts[0] = 0;
    call.own[4 * kOwn] = NAN;
    CHECK(refused("candidate 4", nothing));
    call.inputs[kInputs] = INFINITY;
    CHECK(refused("request 1", nothing));
}

// Programs with numbers that do not belong there are refused or served, and touch no memory that is not theirs.
void check_hostile_programs() {
    constexpr int64_t kMost = INT64_MAX;
    const int64_t strange[] = {-kMost,
                               -3,
                               -2,
                               -1,
                               0,
                               1,
                               2,
                               3,
                               5,
                               9,
                               14,
                               15,
                               40,
                               119,
                               120,
                               200,
                               65536,
                               65537,
                               1 << 29,
                               1 << 30,
                               int64_t{1} << 31,
                               int64_t{1} << 62,
                               kMost};
    Call call({3, 18});
    int64_t refused = 0;
    for (int level = HR_ISA_SCALAR; level <= HR_ISA_AVX512; ++level) {
        if (!hr_isa_usable(level)) continue;
        CHECK(hr_set_isa(level) == HR_OK);
        for (int round = 0; round < 4000; ++round) {
            Network net;
            auto pick = [](uint64_t n) { return random_numbers()() % n; };
            for (uint64_t changes = 1 + pick(3); changes; --changes) {
                Code& code = pick(4) ? net.pair : net.request;
                code[pick(code.size())] = strange[pick(std::size(strange))];
            }
            if (pick(8) == 0) net.pair_columns = strange[pick(std::size(strange))];
            const hr_network_program program = net.view();
            const hr_network_requests requests = call.requests();
            const hr_network_candidates candidates = call.candidates();
            std::vector<float> out(kTargets * call.item.size());
            const hr_status status = hr_network(&program, &requests, &candidates, 1, out.data());
            CHECK(status == HR_OK || status == HR_INVALID);
            refused += status == HR_INVALID;
        }
    }
    CHECK(refused > 1000);
}

}  // namespace

int main() {
    check_logits();
    check_a_layer();
    check_refusals();
    check_hostile_programs();
    return report("network");
}
