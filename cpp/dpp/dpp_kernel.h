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

void squares(const float* panels, int64_t padded, int64_t width, double* out) {
    for (int64_t i = 0; i < padded; i += Vec64::kLanes) {
        const float* lane = panels + i / kPanel * kPanel * width + i % kPanel;
        Vec64 sum = Vec64::zero();
        for (int64_t c = 0; c < width; ++c) {
            const Vec64 a = Vec64::load(lane + c * kPanel);
            sum = fma(a, a, sum);
        }
        sum.store(out + i);
    }
}

template <int P>
void dots_of(const float* panels, int64_t width, const float* x, double* out) {
    Vec64 sum[P][kVecs];
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
    for (int p = 0; p < P; ++p)
        for (int v = 0; v < kVecs; ++v) sum[p][v].store(out + p * kPanel + v * Vec64::kLanes);
}

void dots(const float* panels, int64_t padded, int64_t width, const float* x, double* out) {
    int64_t i = 0;
    for (; i + kPanelsAtOnce * kPanel <= padded; i += kPanelsAtOnce * kPanel)
        dots_of<kPanelsAtOnce>(panels + i * width, width, x, out + i);
    for (; i < padded; i += kPanel) dots_of<1>(panels + i * width, width, x, out + i);
}

void extend(const double* columns, int64_t count, const double* weight, double scale, int64_t padded, double* column,
            double* d2) {
    for (int64_t i = 0; i < padded; i += kPanel) {
        Vec64 e[kVecs];
        for (int v = 0; v < kVecs; ++v) e[v] = Vec64::load(column + i + v * Vec64::kLanes);
        for (int64_t t = 0; t < count; ++t) {
            const Vec64 w = Vec64::all(weight[t]);
            for (int v = 0; v < kVecs; ++v) e[v] = e[v] - w * Vec64::load(columns + t * padded + i + v * Vec64::kLanes);
        }
        for (int v = 0; v < kVecs; ++v) {
            const int64_t at = i + v * Vec64::kLanes;
            e[v] = e[v] * Vec64::all(scale);
            e[v].store(column + at);
            (Vec64::load(d2 + at) - e[v] * e[v]).store(d2 + at);
        }
    }
}

void rotate(double* x, double* y, double c, double s, int64_t padded) {
    const Vec64 vc = Vec64::all(c), vs = Vec64::all(s);
    for (int64_t i = 0; i < padded; i += Vec64::kLanes) {
        const Vec64 a = Vec64::load(x + i), b = Vec64::load(y + i);
        (vc * a + vs * b).store(x + i);
        (vc * b - vs * a).store(y + i);
    }
}

void restore(const double* column, int64_t padded, double* d2) {
    for (int64_t i = 0; i < padded; i += Vec64::kLanes) {
        const Vec64 e = Vec64::load(column + i);
        (Vec64::load(d2 + i) + e * e).store(d2 + i);
    }
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

void peak(const double* columns, int64_t count, int64_t padded, double* out) {
    for (int64_t i = 0; i < padded; i += Vec64::kLanes) {
        Vec64 top = Vec64::load(columns + i);
        for (int64_t t = 1; t < count; ++t) top = max(Vec64::load(columns + t * padded + i), top);
        top.store(out + i);
    }
}

void linear_score(const double* base, const double* x, double weight, int64_t padded, double* out) {
    for (int64_t i = 0; i < padded; i += Vec64::kLanes)
        (Vec64::load(base + i) - Vec64::all(weight) * Vec64::load(x + i)).store(out + i);
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

const GreedyKernels kTable{finite,  pack,      squares, dots,         extend, rotate,
                           restore, log_score, peak,    linear_score, best,   rule};

}  // namespace
}  // namespace hr
