// Random layers over the rows of items, for programs in bfloat16, with what each of their outputs may be.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "check.h"
#include "network/plan.h"

namespace layers {

constexpr int64_t kItems = 50, kMostOwn = 3, kMostWidth = 80, kRequest = kMostOwn * kMostWidth;
constexpr double kUnit = 0x1p-24;

inline float rounded(float x) {
    int exponent;
    const double mantissa = std::frexp(static_cast<double>(x), &exponent);
    return static_cast<float>(std::ldexp(std::nearbyint(mantissa * 256) / 256, exponent));
}

// A layer's inputs are columns of the item's row, so that no rounding of theirs is in doubt.
struct Layers {
    std::mt19937 random;
    int64_t item_width, columns;
    std::vector<float> weights, items;
    std::vector<int64_t> request, pair;

    explicit Layers(unsigned seed, int64_t most = 100) : random(seed), item_width(most), columns(most) {
        items = draw(kItems * item_width);
        add(request, {hr::kRows, 0, kRequest, -1, -1, -1, 0});
        add(pair, {hr::kRows, 0, item_width, -1, 0, -1, -1});
        for (int sum = 0; sum < 6; ++sum) add_sum(1 + below(sum == 5 ? 11 : 3));
    }

    int64_t below(int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); }

    std::vector<float> draw(int64_t n) {
        std::normal_distribution<float> normal;
        std::vector<float> out(static_cast<size_t>(n));
        for (float& x : out) x = normal(random);
        return out;
    }

    static void add(std::vector<int64_t>& code, std::initializer_list<int64_t> step) {
        code.insert(code.end(), step);
        code.resize((code.size() + HR_NETWORK_ENCODED - 1) / HR_NETWORK_ENCODED * HR_NETWORK_ENCODED);
    }

    int64_t weight(int64_t n) {
        const std::vector<float> more = draw(n);
        weights.insert(weights.end(), more.begin(), more.end());
        return static_cast<int64_t>(weights.size()) - n;
    }

    void add_sum(int64_t terms) {
        const int64_t width = 1 + below(kMostWidth), out = columns;
        columns += width;
        const bool common = below(3) == 0;
        if (common) add(pair, {hr::kRows, out, width, below(kRequest - width + 1), -1, -1, -1});
        for (int64_t t = 0; t < terms; ++t) {
            const bool own = below(5) == 0;
            const int64_t inputs = own ? below(kMostOwn + 1) : below(4) ? below(item_width + 1) : item_width;
            const int64_t stride = own ? width : width + below(3), x = below(item_width - inputs + 1);
            const int64_t start = t || common ? hr::kHeld : below(2) ? hr::kNone : weight(width);
            const int64_t place = own ? 0 : weight(inputs ? (inputs - 1) * stride + width : 0);
            add(pair, {hr::kAffine, out, width, x, inputs, place, stride, start, below(4) == 0, own});
        }
    }

    hr_network_program view(const std::vector<float>* packed) const {
        const auto steps = [](const std::vector<int64_t>& code) {
            return static_cast<int64_t>(code.size()) / HR_NETWORK_ENCODED;
        };
        hr_network_program p{};
        p.request = {steps(request), request.data(), kRequest, 0, kRequest};
        p.pair = {steps(pair), pair.data(), columns, item_width, columns - item_width};
        p.weight_count = static_cast<int64_t>(weights.size());
        p.weights = weights.data();
        p.items = kItems;
        p.item_width = item_width;
        p.item_rows = items.data();
        p.request_inputs = kRequest;
        p.packed_count = packed ? static_cast<int64_t>(packed->size()) : 0;
        p.packed = packed ? packed->data() : nullptr;
        return p;
    }

    std::vector<float> packed() const {
        hr_network_program p = view(nullptr);
        int64_t count = -1;
        CHECK(hr_network_packed_count(&p, &count) == HR_OK);
        std::vector<float> out(static_cast<size_t>(count));
        CHECK(hr_network_pack(&p, out.data()) == HR_OK);
        return out;
    }

    // Of each column, its value and how far a float32 may be from it.
    void exact(const float* item, const float* row, std::vector<double>& value, std::vector<double>& bound) const {
        value.assign(static_cast<size_t>(columns), 0);
        bound.assign(static_cast<size_t>(columns), 0);
        for (int64_t j = 0; j < item_width; ++j) value[static_cast<size_t>(j)] = static_cast<double>(item[j]);
        for (const int64_t* s = pair.data() + HR_NETWORK_ENCODED; s < pair.data() + pair.size();
             s += HR_NETWORK_ENCODED) {
            hr::AffineStep step;
            std::memcpy(&step, s, sizeof step);
            for (int64_t o = 0; o < step.width; ++o) {
                double &sum = value[static_cast<size_t>(step.out + o)], &off = bound[static_cast<size_t>(step.out + o)];
                if (step.kind == hr::kRows) {
                    sum = static_cast<double>(row[s[3] + o]);
                    continue;
                }
                if (step.start != hr::kHeld)
                    sum = step.start >= 0 ? static_cast<double>(weights[static_cast<size_t>(step.start + o)]) : 0;
                double size = std::fabs(sum) + off;
                for (int64_t i = 0; i < step.inputs; ++i) {
                    const int64_t place = step.weight + i * step.stride + o;
                    const float w = step.own ? row[place] : weights[static_cast<size_t>(place)], x = item[step.x + i];
                    const double product = step.own ? static_cast<double>(x) * static_cast<double>(w)
                                                    : static_cast<double>(rounded(x)) * static_cast<double>(rounded(w));
                    sum += product;
                    size += std::fabs(product);
                }
                off += static_cast<double>(step.inputs + 2) * kUnit * size;
                if (step.relu) sum = std::max(sum, 0.0);
            }
        }
    }
};

struct Call {
    std::vector<int64_t> offsets{0}, item;
    std::vector<float> inputs;

    Call(Layers& net, const std::vector<int64_t>& sizes) {
        for (int64_t size : sizes) offsets.push_back(offsets.back() + size);
        for (int64_t c = 0; c < offsets.back(); ++c) item.push_back(net.below(kItems));
        inputs = net.draw(static_cast<int64_t>(sizes.size()) * kRequest);
    }
    int64_t batch() const { return static_cast<int64_t>(offsets.size()) - 1; }
    int64_t count() const { return static_cast<int64_t>(item.size()); }
};

inline std::vector<float> answer(const hr_network_program& program, const Call& call, const hr::NetworkKernels& kernels,
                                 int threads = 1) {
    const hr_network_requests requests{call.batch(), call.inputs.data(), 0, nullptr};
    const hr_network_candidates candidates{call.count(), call.offsets.data(), call.item.data(), 0, nullptr, nullptr};
    std::vector<float> out(static_cast<size_t>(program.pair.width * call.count()), NAN);
    // A thread of its own, so that what it works in is no larger than it says.
    std::thread([&] { hr::run_network(program, requests, candidates, threads, out.data(), kernels); }).join();
    return out;
}

// Whether every logit lies within its bound.
inline bool close(const Layers& net, const Call& call, const std::vector<float>& got) {
    std::vector<double> value, bound;
    for (int64_t b = 0; b < call.batch(); ++b)
        for (int64_t c = call.offsets[static_cast<size_t>(b)]; c < call.offsets[static_cast<size_t>(b + 1)]; ++c) {
            net.exact(net.items.data() + call.item[static_cast<size_t>(c)] * net.item_width,
                      call.inputs.data() + b * kRequest, value, bound);
            for (int64_t j = net.item_width; j < net.columns; ++j) {
                const double logit =
                    static_cast<double>(got[static_cast<size_t>((j - net.item_width) * call.count() + c)]);
                const auto at = static_cast<size_t>(j);
                if (!(std::fabs(logit - value[at]) <= bound[at] + kUnit * std::fabs(value[at]))) return false;
            }
        }
    return true;
}

inline bool same(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Programs with numbers that do not belong there are refused or served, and touch no memory that is not theirs.
inline void check_hostile(const hr::NetworkKernels& kernels) {
    const int64_t strange[] = {-INT64_MAX,
                               -3,
                               -2,
                               -1,
                               0,
                               1,
                               2,
                               7,
                               8,
                               15,
                               16,
                               31,
                               32,
                               33,
                               65536,
                               1 << 29,
                               1 << 30,
                               int64_t{1} << 31,
                               int64_t{1} << 62,
                               INT64_MAX};
    int refused = 0, served = 0;
    for (unsigned round = 0; round < 1500; ++round) {
        Layers net(1000 + round % 20, 40);
        net.random.seed(round);
        Call call(net, {3, 34});
        std::vector<float> packed = net.packed();
        for (int64_t changes = 1 + net.below(3); changes; --changes)
            net.pair[static_cast<size_t>(net.below(static_cast<int64_t>(net.pair.size())))] =
                strange[net.below(static_cast<int64_t>(std::size(strange)))];
        hr_network_program p = net.view(&packed);
        int64_t count = 0;
        // Half of them with what was packed of another program.
        if (net.below(2) && hr_network_packed_count(&p, &count) == HR_OK && count < 1 << 22) {
            packed.assign(static_cast<size_t>(count), 0);
            p = net.view(&packed);
            CHECK(hr_network_pack(&p, packed.data()) == HR_OK);
        }
        bool refusal = false;
        std::thread([&] {
            const hr_network_requests requests{call.batch(), call.inputs.data(), 0, nullptr};
            const hr_network_candidates candidates{call.count(), call.offsets.data(), call.item.data(), 0, nullptr,
                                                   nullptr};
            std::vector<float> out(static_cast<size_t>(p.pair.width * call.count()));
            try {
                hr::run_network(p, requests, candidates, 1, out.data(), kernels);
            } catch (const std::invalid_argument&) {
                refusal = true;
            }
        }).join();
        ++(refusal ? refused : served);
    }
    CHECK(refused > 300);
    CHECK(served > 50);
}

}  // namespace layers
