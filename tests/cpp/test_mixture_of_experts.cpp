#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "check.h"
#include "mixture_of_experts/mixture_of_experts.h"

namespace {

std::vector<float> draw(int64_t n, float scale) {
    static std::mt19937 random(7);
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> out(n);
    for (float& x : out) x = normal(random);
    return out;
}

// 2 targets, 3 experts, 10 hidden, 5 units, 4 head units, 3 dimensions: gates 0-5, wide 6-7, embedding 8-10, experts
// 16-45.
constexpr int64_t kTargets = 2, kExperts = 3, kHidden = 10, kUnits = 5, kHead = 4, kDim = 3, kWidth = 48, kFirst = 16;
constexpr int64_t kRequest = 6, kDynamic = 2, kItems = 40, kCodes = 5, kLongest = 4, kInputs = 2 * kDim + kDynamic;

struct Network {
    std::vector<float> request = draw(kRequest * kWidth, 0.3f), items = draw(kItems * kWidth, 1),
                       codes = draw(kCodes * kWidth, 1), candidate = draw(kInputs * kWidth, 0.3f),
                       expert_weight = draw(kExperts * kHidden * kUnits, 0.3f),
                       expert_bias = draw(kExperts * kUnits, 1), head_weight = draw(kTargets * kUnits * kHead, 0.4f),
                       head_bias = draw(kTargets * kHead, 1), out_weight = draw(kTargets * kHead, 1),
                       out_bias = draw(kTargets, 1);

    Network() {
        for (auto* rows : {&request, &codes, &candidate})
            for (size_t i = 0; i < rows->size(); ++i)
                if (i % kWidth >= 8 && i % kWidth < kFirst) (*rows)[i] = 0;
    }

    hr_mixture_model view() const {
        return {kTargets,
                kExperts,
                kHidden,
                kUnits,
                kHead,
                kDim,
                1,
                kRequest,
                kDynamic,
                kItems,
                kCodes,
                request.data(),
                items.data(),
                codes.data(),
                candidate.data(),
                expert_weight.data(),
                expert_bias.data(),
                head_weight.data(),
                head_bias.data(),
                out_weight.data(),
                out_bias.data()};
    }
};

struct Call {
    std::vector<int64_t> offsets, item;
    std::vector<int32_t> codes, counts;
    std::vector<float> inputs, taste, behaviours, dynamic;

    explicit Call(const std::vector<int64_t>& sizes) {
        offsets.push_back(0);
        for (int64_t size : sizes) offsets.push_back(offsets.back() + size);
        const auto batch = static_cast<int64_t>(sizes.size()), n = offsets.back();
        for (int64_t c = 0; c < n; ++c) {
            item.push_back(c * 7 % kItems);
            codes.push_back(static_cast<int32_t>(c % kCodes));
        }
        for (int64_t b = 0; b < batch; ++b) counts.push_back(static_cast<int32_t>(b % (kLongest + 1)));
        inputs = draw(batch * kRequest, 1);
        taste = draw(batch * kDim, 1);
        behaviours = draw(batch * kLongest * kDim, 1);
        dynamic = draw(n * kDynamic, 1);
    }

    hr_mixture_requests requests() const {
        return {static_cast<int64_t>(counts.size()),
                inputs.data(),
                taste.data(),
                kLongest,
                behaviours.data(),
                counts.data()};
    }
    hr_mixture_candidates candidates() const {
        return {static_cast<int64_t>(item.size()), offsets.data(), item.data(), 1, codes.data(), dynamic.data()};
    }
};

double relu(double x) { return x > 0 ? x : 0; }

std::vector<double> inputs_of(const Network& net, const Call& call, int64_t b, int64_t c) {
    const float *e = &net.items[call.item[c] * kWidth + 8], *keys = &call.behaviours[b * kLongest * kDim];
    std::vector<double> x;
    for (int64_t k = 0; k < kDim; ++k) x.push_back(static_cast<double>(call.taste[b * kDim + k]) * e[k]);
    std::vector<double> mean(kDim, 0.0);
    double total = 0;
    for (int64_t n = 0; n < call.counts[b]; ++n) {
        double dot = 0;
        for (int64_t k = 0; k < kDim; ++k) dot += static_cast<double>(e[k]) * keys[n * kDim + k];
        const double weight = std::exp(dot / std::sqrt(3.0));
        total += weight;
        for (int64_t k = 0; k < kDim; ++k) mean[k] += weight * keys[n * kDim + k];
    }
    for (double m : mean) x.push_back(total > 0 ? m / total : 0);
    for (int64_t k = 0; k < kDynamic; ++k) x.push_back(call.dynamic[c * kDynamic + k]);
    return x;
}

double logit(const Network& net, const Call& call, int64_t b, int64_t c, int64_t t) {
    const std::vector<double> x = inputs_of(net, call, b, c);
    std::vector<double> first(kWidth);
    for (int64_t j = 0; j < kWidth; ++j) {
        first[j] = static_cast<double>(net.items[call.item[c] * kWidth + j]) + net.codes[call.codes[c] * kWidth + j];
        for (int64_t i = 0; i < kRequest; ++i)
            first[j] += static_cast<double>(call.inputs[b * kRequest + i]) * net.request[i * kWidth + j];
        for (int64_t i = 0; i < kInputs; ++i) first[j] += x[i] * net.candidate[i * kWidth + j];
    }
    double total = 0;
    std::vector<double> mixed(kUnits, 0.0);
    for (int64_t e = 0; e < kExperts; ++e) total += std::exp(first[t * kExperts + e]);
    for (int64_t e = 0; e < kExperts; ++e)
        for (int64_t u = 0; u < kUnits; ++u) {
            double y = net.expert_bias[e * kUnits + u];
            for (int64_t h = 0; h < kHidden; ++h)
                y += relu(first[kFirst + e * kHidden + h]) * net.expert_weight[(e * kHidden + h) * kUnits + u];
            mixed[u] += std::exp(first[t * kExperts + e]) / total * relu(y);
        }
    double out = net.out_bias[t] + first[kTargets * kExperts + t];
    for (int64_t h = 0; h < kHead; ++h) {
        double y = net.head_bias[t * kHead + h];
        for (int64_t u = 0; u < kUnits; ++u) y += mixed[u] * net.head_weight[(t * kUnits + u) * kHead + h];
        out += relu(y) * net.out_weight[t * kHead + h];
    }
    return out;
}

std::vector<float> answer(const Network& net, const Call& call, int threads) {
    const hr_mixture_model model = net.view();
    const hr_mixture_requests requests = call.requests();
    const hr_mixture_candidates candidates = call.candidates();
    std::vector<float> out(kTargets * call.item.size(), NAN);
    CHECK(hr_mixture_of_experts(&model, &requests, &candidates, threads, out.data()) == HR_OK);
    return out;
}

void check_logits() {
    const Network net;
    const Call call({5, 0, 40, 1, 33, 64, 129});
    const auto n = static_cast<int64_t>(call.item.size());
    const std::vector<float> expected = answer(net, call, 1);
    for (size_t b = 0; b + 1 < call.offsets.size(); ++b)
        for (int64_t c = call.offsets[b]; c < call.offsets[b + 1]; ++c)
            for (int64_t t = 0; t < kTargets; ++t)
                CHECK(std::abs(expected[t * n + c] - logit(net, call, static_cast<int64_t>(b), c, t)) < 1e-4);
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
    auto refused =
        [&](const char* word,
            const std::function<void(hr_mixture_model&, hr_mixture_requests&, hr_mixture_candidates&)>& change) {
            hr_mixture_model model = net.view();
            hr_mixture_requests requests = call.requests();
            hr_mixture_candidates candidates = call.candidates();
            change(model, requests, candidates);
            return hr_mixture_of_experts(&model, &requests, &candidates, 1, out) == HR_INVALID &&
                   std::strstr(hr_last_error(), word) != nullptr;
        };
    CHECK(hr_mixture_of_experts(nullptr, nullptr, nullptr, 1, out) == HR_INVALID);
    CHECK(refused("targets", [](auto& m, auto&, auto&) { m.targets = 0; }));
    CHECK(refused("hidden", [](auto& m, auto&, auto&) { m.hidden = int64_t{1} << 60; }));
    CHECK(refused("attention", [](auto& m, auto&, auto&) { m.attention = 2; }));
    CHECK(refused("items", [](auto& m, auto&, auto&) { m.items = -1; }));
    CHECK(refused("null", [](auto& m, auto&, auto&) { m.item_rows = nullptr; }));
    CHECK(refused("batch", [](auto&, auto& r, auto&) { r.batch = -1; }));
    CHECK(refused("longest", [](auto&, auto& r, auto&) { r.longest = int64_t{1} << 40; }));
    CHECK(refused("null", [](auto&, auto& r, auto&) { r.taste = nullptr; }));
    CHECK(refused("fields", [](auto&, auto&, auto& c) { c.fields = 9; }));
    CHECK(refused("offsets", [](auto&, auto&, auto& c) { c.count = 4; }));
    CHECK(refused("null", [](auto&, auto&, auto& c) { c.dynamic = nullptr; }));
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
    call.dynamic[9] = NAN;
    CHECK(refused("candidate 4", nothing));
    call.inputs[kRequest] = INFINITY;
    CHECK(refused("request 1", nothing));
}

}  // namespace

int main() {
    check_logits();
    check_refusals();
    return report("mixture_of_experts");
}
