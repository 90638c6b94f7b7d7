// The greedy loops' inner kernels, written once for Vec64. Every item has its own lane and its sums run in one fixed
// order, so all instruction sets give the same bits.
#pragma once

#include "dpp/kernels.h"
#include "dpp/lanes.h"

namespace hr {
namespace {

constexpr int kLanes = Vec64::kLanes;
constexpr int kVecs = static_cast<int>(kPanel) / kLanes;
constexpr int kBlockVecs = static_cast<int>(kBlock) / kLanes;
// Vectors that Dots handles at once, and how many rows with them: two sums each, all of them in registers.
constexpr int kAtOnce = kVecs < 2 ? kVecs : 2;
constexpr int kMostRows = kLanes == 8 ? 6 : 3;
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

#if HEADRACE_SIMD_AVX512 || HEADRACE_SIMD_AVX2
// Eight rows' columns c..c+7 into eight panel rows.
void transpose(const float* const* rows, int64_t c, float* out) {
    __m256 r[8], t[8];
    for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(rows[i] + c);
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
        _mm256_storeu_ps(out + i * kPanel, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(out + (i + 4) * kPanel, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}
#endif

void pack(const float* const* rows, int64_t width, float* panel, double* squares) {
    int64_t c = 0;
#if HEADRACE_SIMD_AVX512 || HEADRACE_SIMD_AVX2
    for (; c + 8 <= width; c += 8) {
        transpose(rows, c, panel + c * kPanel);
        transpose(rows + 8, c, panel + c * kPanel + 8);
    }
#endif
    for (; c < width; ++c)
        for (int64_t lane = 0; lane < kPanel; ++lane) panel[c * kPanel + lane] = rows[lane][c];
    Vec64 sum[kVecs];
    for (Vec64& s : sum) s = Vec64::zero();
    for (int64_t at = 0; at < width; ++at)
        for (int v = 0; v < kVecs; ++v) {
            const Vec64 a = Vec64::load(panel + at * kPanel + v * kLanes);
            sum[v] = fma(a, a, sum[v]);  // a product of two float32 is exact in float64
        }
    for (int v = 0; v < kVecs; ++v) sum[v].store(squares + v * kLanes);
}

// Inner products of M rows with kAtOnce vectors of a panel's lanes. Even and odd columns are summed apart.
template <int M>
struct Dots {
    Vec64 sum[M][kAtOnce];

    Dots(const float* panel, int64_t width, const double* row, int64_t stride) {
        Vec64 odd[M][kAtOnce];
        for (int m = 0; m < M; ++m)
            for (int v = 0; v < kAtOnce; ++v) sum[m][v] = odd[m][v] = Vec64::zero();
        int64_t c = 0;
        for (; c + 1 < width; c += 2, panel += 2 * kPanel) {
            add(panel, row + c, stride, sum);
            add(panel + kPanel, row + c + 1, stride, odd);
        }
        if (c < width) add(panel, row + c, stride, sum);
        for (int m = 0; m < M; ++m)
            for (int v = 0; v < kAtOnce; ++v) sum[m][v] = sum[m][v] + odd[m][v];
    }

  private:
    static void add(const float* panel, const double* row, int64_t stride, Vec64 (&to)[M][kAtOnce]) {
        Vec64 a[kAtOnce];
        for (int v = 0; v < kAtOnce; ++v) a[v] = Vec64::load(panel + v * kLanes);
        for (int m = 0; m < M; ++m) {
            const Vec64 b = Vec64::all(row[m * stride]);
            for (int v = 0; v < kAtOnce; ++v) to[m][v] = fused(a[v], b, to[m][v]);
        }
    }
};

// Calls use(t, first lane, product) for rows from..to-1 in turn, M and then fewer at once.
template <int M, class Use>
void each_row(const float* panel, int64_t width, Rows rows, int64_t from, int64_t to, int64_t lane, const Use& use) {
    for (; from + M <= to; from += M) {
        const Dots<M> dots(panel + lane, width, rows.at(from), rows.stride);
        for (int m = 0; m < M; ++m)
            for (int v = 0; v < kAtOnce; ++v) use(from + m, v, dots.sum[m][v]);
    }
    if constexpr (M > 1) each_row<M / 2>(panel, width, rows, from, to, lane, use);
}

void move(const float* panel, int64_t width, Rows rows, const double* sign, int64_t from, int64_t to, double* d2) {
    for (int64_t lane = 0; lane < kPanel; lane += kAtOnce * kLanes) {
        Vec64 rest[kAtOnce];
        for (int v = 0; v < kAtOnce; ++v) rest[v] = Vec64::load(d2 + lane + v * kLanes);
        each_row<kMostRows>(panel, width, rows, from, to, lane,
                            [&](int64_t t, int v, Vec64 e) { rest[v] = rest[v] + Vec64::all(sign[t]) * (e * e); });
        for (int v = 0; v < kAtOnce; ++v) rest[v].store(d2 + lane + v * kLanes);
    }
}

double largest(const Vec64 (&x)[kVecs]) {
    Vec64 top = x[0];
    for (int v = 1; v < kVecs; ++v) top = max(x[v], top);
    double tops[kLanes];
    top.store(tops);
    double out = tops[0];
    for (int lane = 1; lane < kLanes; ++lane) out = tops[lane] > out ? tops[lane] : out;
    return out;
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

double logarithm(double x) {
    double out[kLanes];
    log_of(Vec64::all(x)).store(out);
    return out[0];
}

// exp(x) = 2^k exp(r), |r| <= log(2) / 2, by the series of exp.
Vec64 exp_of(Vec64 x) {
    const Vec64 whole = Vec64::all(6755399441055744.0);  // 1.5 * 2^52: adding it rounds to an integer in the low bits
    const Vec64 shifted = x * Vec64::all(1.44269504088896340736) + whole;
    const Vec64 k = shifted - whole;
    // The first 32 bits of log 2, times which k is exact, and the rest.
    const Vec64 r = (x - k * Vec64::all(0.693147180369123816490)) - k * Vec64::all(1.90821492927058770002e-10);
    Vec64 series = Vec64::all(1.0 / 6227020800.0);
    constexpr double kFactorials[] = {479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0, 5040.0, 720.0,
                                      120.0,       24.0,       6.0,       2.0,      1.0,     1.0};
    for (double factorial : kFactorials) series = series * r + Vec64::all(1.0 / factorial);
    return scaled(series, shifted);
}

void exponentials(const double* x, int64_t n, double scale, double shift, double* out) {
    for (int64_t i = 0; i < n; i += kLanes)
        exp_of(Vec64::all(scale) * (Vec64::load(x + i) - Vec64::all(shift))).store(out + i);
}

double score(const double* base, const double* d2, const Scoring& scoring, double* score) {
    Vec64 out[kVecs];
    for (int v = 0; v < kVecs; ++v) {
        const Vec64 rest = max(Vec64::load(d2 + v * kLanes), Vec64::all(scoring.eps));
        const Vec64 b = Vec64::load(base + v * kLanes);
        out[v] = scoring.product ? b * rest : b + Vec64::all(scoring.weight) * log_of(rest);
        out[v].store(score + v * kLanes);
    }
    return largest(out);
}

double relevance(const double* base, double weight, const Vec64 (&peak)[kVecs], double* score) {
    Vec64 out[kVecs];
    for (int v = 0; v < kVecs; ++v) {
        out[v] = Vec64::load(base + v * kLanes) - Vec64::all(weight) * peak[v];
        out[v].store(score + v * kLanes);
    }
    return largest(out);
}

double grow(const float* panel, int64_t width, Rows rows, int64_t from, int64_t to, const double* base, double weight,
            double* peak, double* score) {
    Vec64 peaks[kVecs];
    for (int v = 0; v < kVecs; ++v) peaks[v] = Vec64::load(peak + v * kLanes);
    for (int first = 0; first < kVecs; first += kAtOnce)
        each_row<kMostRows>(panel, width, rows, from, to, first * kLanes,
                            [&](int64_t, int v, Vec64 x) { peaks[first + v] = max(x, peaks[first + v]); });
    for (int v = 0; v < kVecs; ++v) peaks[v].store(peak + v * kLanes);
    return relevance(base, weight, peaks, score);
}

double slide(const float* panel, int64_t width, Rows rows, int64_t from, int64_t to, int64_t held, const double* base,
             double weight, double* columns, double* score) {
    for (int first = 0; first < kVecs; first += kAtOnce)
        each_row<kMostRows>(panel, width, rows, from, to, first * kLanes, [&](int64_t t, int v, Vec64 x) {
            x.store(columns + t % held * kPanel + (first + v) * kLanes);
        });
    Vec64 peaks[kVecs];
    for (Vec64& peak : peaks) peak = Vec64::all(kMinusInfinity);
    const int64_t filled = to < held ? to : held;
    for (int64_t t = 0; t < filled; ++t)
        for (int v = 0; v < kVecs; ++v) peaks[v] = max(Vec64::load(columns + t * kPanel + v * kLanes), peaks[v]);
    return relevance(base, weight, peaks, score);
}

uint32_t best(const double* score, uint32_t allowed, double* top) {
    Vec64 x[kVecs];
    for (int v = 0; v < kVecs; ++v)
        x[v] = choose(allowed >> (v * kLanes), Vec64::load(score + v * kLanes), Vec64::all(kMinusInfinity));
    *top = largest(x);
    if (*top == kMinusInfinity) return 0;
    uint32_t lanes = 0;
    for (int v = 0; v < kVecs; ++v) lanes |= equal(x[v], Vec64::all(*top)) << (v * kLanes);
    return lanes;
}

uint32_t among(const int32_t* kinds, const int32_t* some, int64_t count) {
    int32_t found[kPanel] = {};
    for (int64_t i = 0; i < count; ++i)
        for (int64_t lane = 0; lane < kPanel; ++lane) found[lane] |= kinds[lane] == some[i];
    uint32_t lanes = 0;
    for (int64_t lane = 0; lane < kPanel; ++lane) lanes |= static_cast<uint32_t>(found[lane]) << lane;
    return lanes;
}

// The sum of a block's eight lanes, in one order whatever the width of the registers.
double total(const Vec64 (&x)[kBlockVecs]) {
    double lane[kBlock];
    for (int v = 0; v < kBlockVecs; ++v) x[v].store(lane + v * kLanes);
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

double inner(const double* a, const double* b, int64_t n) {
    Vec64 sum[kBlockVecs];
    for (Vec64& s : sum) s = Vec64::zero();
    for (int64_t c = 0; c < n; c += kBlock)
        for (int v = 0; v < kBlockVecs; ++v)
            sum[v] = fused(Vec64::load(a + c + v * kLanes), Vec64::load(b + c + v * kLanes), sum[v]);
    return total(sum);
}

// rest -= sum_t weight[t] * row t over B blocks from column c on.
template <int B>
void subtract(Rows rows, int64_t count, const double* weight, int64_t c, double* rest) {
    Vec64 x[B * kBlockVecs];
    for (int v = 0; v < B * kBlockVecs; ++v) x[v] = Vec64::load(rest + c + v * kLanes);
    for (int64_t t = 0; t < count; ++t) {
        const Vec64 w = Vec64::all(-weight[t]);
        for (int v = 0; v < B * kBlockVecs; ++v) x[v] = fused(w, Vec64::load(rows.at(t) + c + v * kLanes), x[v]);
    }
    for (int v = 0; v < B * kBlockVecs; ++v) x[v].store(rest + c + v * kLanes);
}

double project(Rows rows, int64_t count, double* weight, double* rest) {
    for (int64_t t = 0; t < count; ++t) weight[t] = inner(rows.at(t), rest, rows.stride);
    constexpr int kBlocks = kLanes == 8 ? 8 : kLanes == 4 ? 4 : 1;
    int64_t c = 0;
    for (; c + kBlocks * kBlock <= rows.stride; c += kBlocks * kBlock) subtract<kBlocks>(rows, count, weight, c, rest);
    for (; c < rows.stride; c += kBlock) subtract<1>(rows, count, weight, c, rest);
    return inner(rest, rest, rows.stride);
}

void rotate(double* x, double* y, int64_t n, double c, double s) {
    const Vec64 cosine = Vec64::all(c), sine = Vec64::all(s);
    for (int64_t i = 0; i < n; i += kLanes) {
        const Vec64 a = Vec64::load(x + i), b = Vec64::load(y + i);
        (cosine * a + sine * b).store(x + i);
        (cosine * b - sine * a).store(y + i);
    }
}

const GreedyKernels kTable{finite, pack,  move,    score,  grow,         slide,
                           best,   among, project, rotate, exponentials, logarithm};

}  // namespace
}  // namespace hr
