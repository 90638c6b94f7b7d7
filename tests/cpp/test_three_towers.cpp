#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "check.h"
#include "three_towers/three_towers.h"

namespace {

std::vector<float> draw(int64_t n, float scale) {
    static std::mt19937 random(7);
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> out(n);
    for (float& x : out) x = normal(random);
    return out;
}

constexpr int64_t kTargets = 3, kDim = 5, kTower = 17, kUpper = 9, kRequest = 6, kDynamic = 4, kWidth = 16;
constexpr int64_t kItems = 40, kCodes = 5;

struct Network {
    std::vector<float> tower_weight = draw(kRequest * kTower, 0.4f), tower_bias = draw(kTower, 1),
                       vector_weight = draw(kTower * kDim, 0.3f), vector_bias = draw(kDim, 1),
                       user_weight = draw(kDim * kUpper, 0.4f), upper_bias = draw(kUpper, 1),
                       request = draw(kRequest * kWidth, 0.4f), items = draw(kItems * kWidth, 1),
                       codes = draw(kCodes * kWidth, 1), dynamic = draw(kDynamic * kWidth, 0.5f),
                       upper = draw(3 * kDim * kUpper, 0.3f), last = draw(kUpper * kTargets, 0.3f);

    Network() {
        for (auto* rows : {&request, &codes, &dynamic})
            for (size_t i = 0; i < rows->size(); ++i)
                if (i % kWidth < kDim) (*rows)[i] = 0;
    }

    hr_towers_model view() const {
        return {kTargets,
                kDim,
                kTower,
                kUpper,
                kRequest,
                kDynamic,
                kItems,
                kCodes,
                tower_weight.data(),
                tower_bias.data(),
                vector_weight.data(),
                vector_bias.data(),
                user_weight.data(),
                upper_bias.data(),
                request.data(),
                items.data(),
                codes.data(),
                dynamic.data(),
                upper.data(),
                last.data()};
    }
};

struct Call {
    std::vector<int64_t> offsets, item;
    std::vector<int32_t> codes;
    std::vector<float> request, dynamic;

    explicit Call(const std::vector<int64_t>& sizes) {
        offsets.push_back(0);
        for (int64_t size : sizes) offsets.push_back(offsets.back() + size);
        for (int64_t c = 0; c < offsets.back(); ++c) {
            item.push_back(c * 7 % kItems);
            codes.push_back(static_cast<int32_t>(c % kCodes));
        }
        request = draw(static_cast<int64_t>(sizes.size()) * kRequest, 1);
        dynamic = draw(offsets.back() * kDynamic, 1);
    }

    int64_t batch() const { return static_cast<int64_t>(offsets.size()) - 1; }
    hr_towers_candidates candidates() const {
        return {static_cast<int64_t>(item.size()), offsets.data(), item.data(), 1, codes.data(), dynamic.data()};
    }
};

double relu(double x) { return x > 0 ? x : 0; }

std::vector<double> user_of(const Network& net, const float* request) {
    std::vector<double> user(kDim);
    for (int64_t k = 0; k < kDim; ++k) user[k] = net.vector_bias[k];
    for (int64_t h = 0; h < kTower; ++h) {
        double y = net.tower_bias[h];
        for (int64_t i = 0; i < kRequest; ++i) y += static_cast<double>(request[i]) * net.tower_weight[i * kTower + h];
        for (int64_t k = 0; k < kDim; ++k) user[k] += relu(y) * net.vector_weight[h * kDim + k];
    }
    return user;
}

double logit(const Network& net, const Call& call, int64_t b, int64_t c, int64_t t) {
    const float* request = &call.request[b * kRequest];
    const std::vector<double> user = user_of(net, request);
    std::vector<double> sums(kWidth);
    for (int64_t j = 0; j < kWidth; ++j) {
        sums[j] = static_cast<double>(net.items[call.item[c] * kWidth + j]) + net.codes[call.codes[c] * kWidth + j];
        for (int64_t i = 0; i < kRequest; ++i) sums[j] += static_cast<double>(request[i]) * net.request[i * kWidth + j];
        for (int64_t i = 0; i < kDynamic; ++i)
            sums[j] += static_cast<double>(call.dynamic[c * kDynamic + i]) * net.dynamic[i * kWidth + j];
    }
    double out = sums[2 * kDim + t];
    for (int64_t h = 0; h < kUpper; ++h) {
        double y = net.upper_bias[h];
        for (int64_t k = 0; k < kDim; ++k) {
            y += user[k] * net.user_weight[k * kUpper + h] + sums[k] * net.upper[k * kUpper + h];
            y += relu(sums[kDim + k]) * net.upper[(kDim + k) * kUpper + h];
            y += sums[k] * user[k] * net.upper[(2 * kDim + k) * kUpper + h];
        }
        out += relu(y) * net.last[h * kTargets + t];
    }
    return out;
}

std::vector<float> answer(const Network& net, const Call& call, int threads) {
    const hr_towers_model model = net.view();
    const hr_towers_candidates candidates = call.candidates();
    std::vector<float> out(kTargets * call.item.size(), NAN);
    CHECK(hr_three_towers(&model, call.batch(), call.request.data(), &candidates, threads, out.data()) == HR_OK);
    return out;
}

void check_logits() {
    const Network net;
    const Call call({5, 0, 40, 1, 33, 600});
    const auto n = static_cast<int64_t>(call.item.size());
    const std::vector<float> expected = answer(net, call, 1);
    for (int64_t b = 0; b < call.batch(); ++b)
        for (int64_t c = call.offsets[b]; c < call.offsets[b + 1]; ++c)
            for (int64_t t = 0; t < kTargets; ++t)
                CHECK(std::abs(expected[t * n + c] - logit(net, call, b, c, t)) < 1e-4);
    for (int level = HR_ISA_SCALAR; level <= HR_ISA_AVX512; ++level)
        for (int threads = 1; hr_isa_usable(level) && threads <= 3; ++threads) {
            CHECK(hr_set_isa(level) == HR_OK);
            const std::vector<float> got = answer(net, call, threads);
            CHECK(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)) == 0);
        }
}

void check_refusals() {
    const Network net;
    Call call({3, 2});
    float out[kTargets * 5];
    auto refused = [&](const char* word, const std::function<void(hr_towers_model&, hr_towers_candidates&)>& change) {
        hr_towers_model model = net.view();
        hr_towers_candidates candidates = call.candidates();
        change(model, candidates);
        return hr_three_towers(&model, call.batch(), call.request.data(), &candidates, 1, out) == HR_INVALID &&
               std::strstr(hr_last_error(), word) != nullptr;
    };
    CHECK(hr_three_towers(nullptr, 1, nullptr, nullptr, 1, out) == HR_INVALID);
    CHECK(refused("targets", [](auto& m, auto&) { m.targets = 0; }));
    CHECK(refused("upper_units", [](auto& m, auto&) { m.upper_units = int64_t{1} << 60; }));
    CHECK(refused("codes", [](auto& m, auto&) { m.codes = -1; }));
    CHECK(refused("null", [](auto& m, auto&) { m.upper_weight = nullptr; }));
    CHECK(refused("fields", [](auto&, auto& c) { c.fields = 9; }));
    CHECK(refused("offsets", [](auto&, auto& c) { c.count = 4; }));
    CHECK(refused("offsets", [](auto&, auto& c) { c.offsets = nullptr; }));
    CHECK(refused("null", [](auto&, auto& c) { c.item = nullptr; }));
    auto nothing = [](auto&, auto&) {};
    call.offsets[1] = 6;
    CHECK(refused("falling", nothing));
    call.offsets[1] = 3;
    call.item[4] = -1;
    CHECK(refused("item", nothing));
    call.item[4] = 0;
    call.codes[1] = kCodes;
    CHECK(refused("codes", nothing));
    call.codes[1] = 0;
    call.dynamic[17] = NAN;
    CHECK(refused("candidate 4", nothing));
    call.request[kRequest] = INFINITY;
    CHECK(refused("request 1", nothing));
}

}  // namespace

int main() {
    check_logits();
    check_refusals();
    return report("three_towers");
}
