// The greedy loops' inner kernels, written once for Vec64. Every item has its own lane and its sums run in one fixed
// order, so all instruction sets give the same bits; fma is used only where the product is exact anyway.
#pragma once

#include "core/simd64.h"
#include "dpp/kernels.h"

namespace hr {
namespace {

constexpr int kVecs = static_cast<int>(kPanel) / Vec64::kLanes;
constexpr int kPanelsAtOnce = kVecs == 2 ? 4 : kVecs == 4 ? 2 : 1;
constexpr double kMinusInfinity = -__builtin_inf();

bool finite(const float* x, int64_t n) {
    uint32_t worst = 0;
    for (int64_t i = 0; i < n; ++i) {
        uint32_t bits;
        std::memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7FFFFFFFu;
        worst = bits > worst ? bits : worst;
    }
    return worst < 0x7F800000u;  // the bits of infinity; those of NaN are larger
}

void pack(const float* rows, int64_t n, int64_t width, float* panels) {
    for (int64_t first = 0; first < n; first += kPanel, panels += kPanel * width) {
        const int64_t filled = n - first < kPanel ? n - first : kPanel;
        for (int64_t lane = 0; lane < kPanel; ++lane) {
            const float* row = rows + (first + lane) * width;
            for (int64_t c = 0; c < width; ++c) panels[c * kPanel + lane] = lane < filled ? row[c] : 0.0f;
        }
    }
}

void squares(const Items& items, double* out) {
    for (int64_t i = 0; i < items.padded; i += Vec64::kLanes) {
        const float* lane = items.panels + i / kPanel * kPanel * items.width + i % kPanel;
        Vec64 sum = Vec64::zero();
        for (int64_t c = 0; c < items.width; ++c) {
            const Vec64 a = Vec64::load(lane + c * kPanel);
            sum = fma(a, a, sum);
        }
        sum.store(out + i);
    }
}

// Inner products of P panels with x, left in registers.
template <int P>
struct Dots {
    Vec64 sum[P][kVecs];

    Dots(const float* panels, int64_t width, const float* x) {
        for (auto& panel : sum)
            for (Vec64& s : panel) s = Vec64::zero();
        for (int64_t c = 0; c < width; ++c) {
            const Vec64 b = Vec64::all(static_cast<double>(x[c]));
            for (int p = 0; p < P; ++p)
                for (int v = 0; v < kVecs; ++v) {
                    const float* a = panels + (p * width + c) * kPanel + v * Vec64::kLanes;
                    sum[p][v] = fma(Vec64::load(a), b, sum[p][v]);  // a product of two float32 is exact in float64
                }
        }
    }
};

// Calls step.template run<P>(first item) for all panels, several at once where they last.
template <class Step>
void each_panel(int64_t padded, const Step& step) {
    int64_t i = 0;
    for (; i + kPanelsAtOnce * kPanel <= padded; i += kPanelsAtOnce * kPanel) step.template run<kPanelsAtOnce>(i);
    for (; i < padded; i += kPanel) step.template run<1>(i);
}

struct Join {
    const Items& items;
    const float* x;
    const Columns& columns;
    int64_t count;
    const double* weight;
    double scale;
    double* d2;

    template <int P>
    void run(int64_t first) const {
        Dots<P> dots(items.panels + first * items.width, items.width, x);
        for (int p = 0; p < P; ++p) {
            double* column = columns.data + (first + p * kPanel) * columns.held;
            Vec64* e = dots.sum[p];
            for (int64_t t = 0; t < count; ++t, column += kPanel) {
                const Vec64 w = Vec64::all(weight[t]);
                for (int v = 0; v < kVecs; ++v) e[v] = e[v] - w * Vec64::load(column + v * Vec64::kLanes);
            }
            for (int v = 0; v < kVecs; ++v) {
                double* rest = d2 + first + p * kPanel + v * Vec64::kLanes;
                e[v] = e[v] * Vec64::all(scale);
                e[v].store(column + v * Vec64::kLanes);
                (Vec64::load(rest) - e[v] * e[v]).store(rest);
            }
        }
    }
};

void join(const Items& items, const float* x, const Columns& columns, int64_t count, const double* weight, double scale,
          double* d2) {
    each_panel(items.padded, Join{items, x, columns, count, weight, scale, d2});
}

void leave(const Columns& columns, int64_t padded, int64_t from, int64_t count, const double* cosine,
           const double* sine, double* d2) {
    for (int64_t i = 0; i < padded; i += kPanel) {
        double* column = columns.data + i * columns.held + from * kPanel;
        Vec64 last[kVecs];
        for (int v = 0; v < kVecs; ++v) last[v] = Vec64::load(column + v * Vec64::kLanes);
        for (int64_t t = from; t + 1 < count; ++t, column += kPanel) {
            const Vec64 c = Vec64::all(cosine[t]), s = Vec64::all(sine[t]);
            for (int v = 0; v < kVecs; ++v) {
                const Vec64 next = Vec64::load(column + kPanel + v * Vec64::kLanes);
                (c * last[v] + s * next).store(column + v * Vec64::kLanes);
                last[v] = c * next - s * last[v];
            }
        }
        for (int v = 0; v < kVecs; ++v) {
            double* rest = d2 + i + v * Vec64::kLanes;
            (Vec64::load(rest) + last[v] * last[v]).store(rest);
        }
    }
}

struct Compare {
    const Items& items;
    const float* x;
    const Columns& columns;
    int64_t slot, count;
    const double* base;
    double weight;
    double* score;

    template <int P>
    void run(int64_t first) const {
        Dots<P> dots(items.panels + first * items.width, items.width, x);
        for (int p = 0; p < P; ++p)
            for (int v = 0; v < kVecs; ++v) {
                const int64_t at = first + p * kPanel;
                double* column = columns.data + at * columns.held + v * Vec64::kLanes;
                Vec64 peak = dots.sum[p][v];
                if (columns.held > 1) peak.store(column + slot * kPanel);
                for (int64_t t = 0; t < count; ++t) peak = max(Vec64::load(column + t * kPanel), peak);
                if (columns.held == 1) peak.store(column);
                const int64_t lane = at + v * Vec64::kLanes;
                (Vec64::load(base + lane) - Vec64::all(weight) * peak).store(score + lane);
            }
    }
};

void compare(const Items& items, const float* x, const Columns& columns, int64_t slot, int64_t count,
             const double* base, double weight, double* score) {
    each_panel(items.padded, Compare{items, x, columns, slot, count, base, weight, score});
}

// log x of a positive normal x = 2^e m with sqrt(1/2) <= m < sqrt(2), by the series of 2 atanh((m - 1) / (m + 1)).
Vec64 log_of(Vec64 x) {
    constexpr int64_t kOne = 0x3FF0000000000000, kRootHalf = 0x3FE6A09E667F3BCD, kMantissa = 0x000FFFFFFFFFFFFF;
    constexpr int64_t kTwo52 = 0x4330000000000000;  // 2^52: its low bits read as an integer
    const Vec64 shifted = x.add_bits(kOne - kRootHalf);
    const Vec64 exponent = shifted.shift_bits_right(52).or_bits(kTwo52) - Vec64::all(4503599627370496.0 + 1023.0);
    const Vec64 m = shifted.and_bits(kMantissa).add_bits(kRootHalf);
    const Vec64 s = (m - Vec64::all(1.0)) / (m + Vec64::all(1.0));
    const Vec64 z = s * s;
    Vec64 series = Vec64::all(2.0 / 19.0);
    for (int odd = 17; odd >= 1; odd -= 2) series = series * z + Vec64::all(2.0 / odd);
    return exponent * Vec64::all(0.693147180559945309417) + s * series;
}

void log_score(const double* base, const double* d2, double weight, double eps, int64_t padded, double* out) {
    for (int64_t i = 0; i < padded; i += Vec64::kLanes) {
        const Vec64 gain = log_of(max(Vec64::load(d2 + i), Vec64::all(eps)));
        (Vec64::load(base + i) + Vec64::all(weight) * gain).store(out + i);
    }
}

Best best(const double* score, const uint32_t* forbidden, int64_t padded) {
    Vec64 top = Vec64::all(kMinusInfinity), where = Vec64::all(-1.0);
    for (int64_t i = 0; i < padded; i += Vec64::kLanes) {
        Vec64 x = Vec64::load(score + i);
        if (forbidden) x = Vec64::where_zero(forbidden + i, x, Vec64::all(kMinusInfinity));
        where = Vec64::where_greater(x, top, Vec64::all(static_cast<double>(i)), where);
        top = max(x, top);
    }
    double tops[Vec64::kLanes], wheres[Vec64::kLanes];
    top.store(tops);
    where.store(wheres);
    Best found{-1, kMinusInfinity};
    for (int lane = 0; lane < Vec64::kLanes; ++lane) {
        const int64_t index = static_cast<int64_t>(wheres[lane]) + lane;
        if (wheres[lane] >= 0.0 && (tops[lane] > found.score || (tops[lane] == found.score && index < found.index)))
            found = {index, tops[lane]};
    }
    return found;
}

void rule(const int32_t* kinds, int64_t n, int32_t enter, int32_t leave, int32_t most, uint32_t bit, int32_t* count,
          uint32_t* forbidden) {
    for (int64_t i = 0; i < n; ++i) {
        count[i] += (kinds[i] == enter) - (kinds[i] == leave);
        forbidden[i] |= kinds[i] >= 0 && count[i] >= most ? bit : 0u;
    }
}

const GreedyKernels kTable{finite, pack, squares, join, leave, compare, log_score, best, rule};

}  // namespace
}  // namespace hr
