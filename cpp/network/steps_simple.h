// Steps without matrices: functions of one and of two columns, sums, factorisation machines, pairs, normalisation.
#pragma once

#include "network/lanes.h"

namespace hr {
namespace {

template <class L, class F>
inline void map(const float* a, int64_t width, float* out, F&& f) {
    each<L>(width, [&](int64_t i, auto part) { part.store(f(part.load(a + i)), out + i); });
}

template <class L>
inline void unary(const UnaryStep& s, const float* weights, float* columns) {
    const float* a = columns + s.a * L::kColumn;
    float* out = columns + s.out * L::kColumn;
    switch (s.f) {
        case kCopy:
            return map<L>(a, s.width, out, [](Vec x) { return x; });
        case kRelu:
            return map<L>(a, s.width, out, [](Vec x) { return max(x, Vec::zero()); });
        case kSigmoid:
            return map<L>(a, s.width, out, [](Vec x) { return sigmoid(x); });
        case kTanh:
            return map<L>(a, s.width, out, [](Vec x) { return hyperbolic(x); });
        case kSquare:
            return map<L>(a, s.width, out, [](Vec x) { return x * x; });
        case kScale:
            return map<L>(a, s.width, out, [w = Vec::all(weights[s.weight])](Vec x) { return x * w; });
    }
}

template <class L, class F>
inline void combine(const BinaryStep& s, float* columns, F&& f) {
    constexpr int C = L::kColumn;
    const float *a = columns + s.a * C, *b = columns + s.b * C;
    float* out = columns + s.out * C;
    if (s.group == 1 && s.period >= s.width) {
        each<L>(s.width, [&](int64_t i, auto part) { part.store(f(part.load(a + i), part.load(b + i)), out + i); });
        return;
    }
    for (int64_t j = 0, within = 0, at = 0; j < s.width; ++j) {
        vectors<L>([&](int v) { L::store(f(L::load(a + j * C + v), L::load(b + at * C + v)), out + j * C + v); });
        if (++within < s.group) continue;
        within = 0;
        if (++at == s.period) at = 0;
    }
}

template <class L>
inline void binary(const BinaryStep& s, float* columns) {
    switch (s.f) {
        case kAdd:
            return combine<L>(s, columns, [](Vec a, Vec b) { return a + b; });
        case kSubtract:
            return combine<L>(s, columns, [](Vec a, Vec b) { return a - b; });
        case kMultiply:
            return combine<L>(s, columns, [](Vec a, Vec b) { return a * b; });
        case kMaximum:
            return combine<L>(s, columns, [](Vec a, Vec b) { return max(a, b); });
    }
}

template <class L>
inline void reduce(const ReduceStep& s, float* columns) {
    constexpr int C = L::kColumn;
    const float* a = columns + s.a * C;
    float* out = columns + s.out * C;
    if (s.f == kAcross) {
        each<L>(s.width, [&](int64_t i, auto part) {
            Vec sum = Vec::zero();
            for (int64_t g = 0; g < s.groups; ++g) sum = sum + part.load(a + g * s.width * C + i);
            part.store(sum, out + i);
        });
        return;
    }
    for (int64_t g = 0; g < s.groups; ++g)
        vectors<L>([&](int v) {
            Vec sum = Vec::zero();
            for (int64_t j = 0; j < s.width; ++j) sum = sum + L::load(a + (g * s.width + j) * C + v);
            L::store(sum, out + g * C + v);
        });
}

template <class L>
inline void machine_of_factors(const FMStep& s, float* columns) {
    constexpr int C = L::kColumn;
    const float* a = columns + s.a * C;
    float* out = columns + s.out * C;
    each<L>(s.width, [&](int64_t i, auto part) {
        Vec sum = Vec::zero(), squares = Vec::zero();
        for (int64_t f = 0; f < s.fields; ++f) {
            const Vec x = part.load(a + f * s.width * C + i);
            sum = sum + x;
            squares = fused(x, x, squares);
        }
        part.store(fused(sum, sum, Vec::zero() - squares) * Vec::all(0.5f), out + i);
    });
}

template <class L>
inline void pairs(const PairsStep& s, float* columns) {
    constexpr int C = L::kColumn;
    float* out = columns + s.out * C;
    for (int64_t f = 0; f < s.fields; ++f)
        for (int64_t g = f + 1; g < s.fields; ++g) {
            const float *a = columns + (s.a + f * s.width) * C, *b = columns + (s.b + g * s.width) * C;
            if (s.f == kProduct) {
                each<L>(s.width,
                        [&](int64_t i, auto part) { part.store(part.load(a + i) * part.load(b + i), out + i); });
                out += s.width * C;
                continue;
            }
            vectors<L>([&](int v) {
                Vec sum = Vec::zero();
                for (int64_t j = 0; j < s.width; ++j) sum = fused(L::load(a + j * C + v), L::load(b + j * C + v), sum);
                L::store(sum, out + v);
            });
            out += C;
        }
}

template <class L>
inline void normalise(const NormaliseStep& s, float epsilon, float* columns) {
    constexpr int C = L::kColumn;
    const Vec count = Vec::all(static_cast<float>(s.width)), one = Vec::all(1.0f);
    for (int64_t g = 0; g < s.groups; ++g)
        vectors<L>([&](int v) {
            const float* a = columns + (s.a + g * s.width) * C + v;
            float* out = columns + (s.out + g * s.width) * C + v;
            Vec sum = Vec::zero(), squares = Vec::zero();
            for (int64_t j = 0; j < s.width; ++j) sum = sum + L::load(a + j * C);
            const Vec mean = sum / count;
            for (int64_t j = 0; j < s.width; ++j) {
                const Vec centred = L::load(a + j * C) - mean;
                squares = fused(centred, centred, squares);
                L::store(centred, out + j * C);
            }
            const Vec factor = one / root(squares / count + Vec::all(epsilon));
            for (int64_t j = 0; j < s.width; ++j) L::store(L::load(out + j * C) * factor, out + j * C);
        });
}

}  // namespace
}  // namespace hr
