// The greedy loops' inner kernels, written once for Vec and Vec64. Every item has its own lane. What decides is
// float64 and summed in one fixed order, so all instruction sets give the same bits.
#pragma once

#include "dpp/kernels.h"
#include "dpp/lanes.h"

namespace hr {
namespace {

constexpr int kLanes = Vec64::kLanes;
constexpr int kVecs = static_cast<int>(kPanel) / kLanes;
constexpr int kBlockVecs = static_cast<int>(kBlock) / kLanes;
// Sums that a product is split into, and how many rows are taken at once, so that all sums stay in registers.
constexpr int kSums = 4;
constexpr int kMostRows = kLanes == 8 ? 6 : 3;
// Roundings of a sum of e'^2 over kMostRows rows, and that of a sum of |e'|, which is at least 0.99 of what it should
// be.
constexpr double kSumming = 1.1 * (kMostRows + 2) * 0x1p-24;
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

// The products of a row with itself and, where asked, with the probe, in lanes still to be summed. They are taken in
// four parts for rounding's sake, and so that they needn't wait for each other.
template <bool kProbed>
__attribute__((always_inline)) inline void scan_row(const float* row, int64_t width, const float* probe, Vec& square,
                                                    Vec& product) {
    Vec squares[kSums], products[kSums];
    for (int s = 0; s < kSums; ++s) squares[s] = products[s] = Vec::zero();
    int64_t c = 0;
    for (; c + kSums * Vec::kLanes <= width; c += kSums * Vec::kLanes)
        for (int s = 0; s < kSums; ++s) {
            const Vec a = Vec::load(row + c + s * Vec::kLanes);
            squares[s] = fma(a, a, squares[s]);
            if constexpr (kProbed) products[s] = fma(a, Vec::load(probe + c + s * Vec::kLanes), products[s]);
        }
    for (int s = 0; c < width; c += Vec::kLanes, ++s) {
        const int left = static_cast<int>(width - c < Vec::kLanes ? width - c : Vec::kLanes);
        const Vec a = Vec::load_first(row + c, left);
        squares[s] = fma(a, a, squares[s]);
        if constexpr (kProbed) products[s] = fma(a, Vec::load_first(probe + c, left), products[s]);
    }
    square = (squares[0] + squares[1]) + (squares[2] + squares[3]);
    product = (products[0] + products[1]) + (products[2] + products[3]);
}

template <bool kProbed>
void scan_rows(const float* rows, int64_t n, int64_t width, const float* probe, float* squares, float* products) {
    int64_t i = 0;
    Vec square[Vec::kLanes], product[Vec::kLanes];
    for (; i + Vec::kLanes <= n; i += Vec::kLanes) {
        for (int r = 0; r < Vec::kLanes; ++r)
            scan_row<kProbed>(rows + (i + r) * width, width, probe, square[r], product[r]);
        sum_each(square).store(squares + i);
        if constexpr (kProbed) sum_each(product).store(products + i);
    }
    for (; i < n; ++i) {
        scan_row<kProbed>(rows + i * width, width, probe, square[0], product[0]);
        squares[i] = square[0].sum();
        if constexpr (kProbed) products[i] = product[0].sum();
    }
}

void scan(const float* rows, int64_t n, int64_t width, const float* probe, float* squares, float* products) {
    if (probe)
        scan_rows<true>(rows, n, width, probe, squares, products);
    else
        scan_rows<false>(rows, n, width, probe, squares, products);
}

void pack(const float* const* rows, int64_t width, float* panel, double* squares, double* norms) {
    int64_t c = 0;
#if HEADRACE_SIMD_AVX512 || HEADRACE_SIMD_AVX2
    for (; c + 8 <= width; c += 8) {
        transpose(rows, c, panel + c * kPanel);
        transpose(rows + 8, c, panel + c * kPanel + 8);
    }
#endif
    for (; c < width; ++c)
        for (int64_t lane = 0; lane < kPanel; ++lane) panel[c * kPanel + lane] = rows[lane][c];
    if (!squares) return;
    Vec64 sum[kVecs];
    for (Vec64& s : sum) s = Vec64::zero();
    for (int64_t at = 0; at < width; ++at)
        for (int v = 0; v < kVecs; ++v) {
            const Vec64 a = Vec64::load(panel + at * kPanel + v * kLanes);
            sum[v] = fma(a, a, sum[v]);  // a product of two float32 is exact in float64
        }
    for (int v = 0; v < kVecs; ++v) {
        sum[v].store(squares + v * kLanes);
        root(sum[v]).store(norms + v * kLanes);
    }
}

void add_to(Vec x, double* sum) {
    float parts[Vec::kLanes];
    x.store(parts);
    constexpr int kStep = kLanes < Vec::kLanes ? kLanes : Vec::kLanes;
    for (int i = 0; i < Vec::kLanes; i += kStep) (Vec64::load(sum + i) + Vec64::load(parts + i)).store(sum + i);
}

// Inner products of M rows with the items of one vector of lanes, each in kSums interleaved sums.
template <int M>
__attribute__((always_inline)) inline void dots(const float* panel, int64_t width, const float* row, int64_t stride,
                                                Vec (&out)[M]) {
    Vec sum[M][kSums];
    for (int m = 0; m < M; ++m)
        for (Vec& s : sum[m]) s = Vec::zero();
    int64_t c = 0;
    for (; c + kSums <= width; c += kSums)
        for (int s = 0; s < kSums; ++s) {
            const Vec a = Vec::load(panel + (c + s) * kPanel);
            for (int m = 0; m < M; ++m) sum[m][s] = fma(a, Vec::all(row[m * stride + c + s]), sum[m][s]);
        }
    for (; c < width; ++c) {
        const Vec a = Vec::load(panel + c * kPanel);
        for (int m = 0; m < M; ++m) sum[m][0] = fma(a, Vec::all(row[m * stride + c]), sum[m][0]);
    }
    for (int m = 0; m < M; ++m) out[m] = (sum[m][0] + sum[m][1]) + (sum[m][2] + sum[m][3]);
}

template <int M, class Use>
__attribute__((always_inline)) inline void rows_at_once(const float* panel, int64_t width, Rows<float> rows,
                                                        int64_t from, const Use& use) {
    for (int lane = 0; lane < static_cast<int>(kPanel); lane += Vec::kLanes) {
        Vec out[M];
        dots<M>(panel + lane, width, rows.at(from), rows.stride, out);
        use(from, lane, out);
    }
}

// Calls use(t, first lane, products with rows t, t + 1, ...) for rows from..to-1, in even portions.
template <class Use>
void each_row(const float* panel, int64_t width, Rows<float> rows, int64_t from, int64_t to, const Use& use) {
    while (from < to) {
        const int64_t left = to - from, portions = (left + kMostRows - 1) / kMostRows;
        const int64_t take = (left + portions - 1) / portions;
        if (take == 1) rows_at_once<1>(panel, width, rows, from, use);
        if (take == 2) rows_at_once<2>(panel, width, rows, from, use);
        if (take == 3) rows_at_once<3>(panel, width, rows, from, use);
        if constexpr (kMostRows > 3) {
            if (take == 4) rows_at_once<4>(panel, width, rows, from, use);
            if (take == 5) rows_at_once<5>(panel, width, rows, from, use);
            if (take == 6) rows_at_once<6>(panel, width, rows, from, use);
        }
        from += take;
    }
}

// What a portion does is summed in float32: at most kMostRows + 1 roundings, which `bound` allows for.
void move(const float* panel, int64_t width, Rows<float> rows, const float* sign, int64_t from, int64_t to, double* d2,
          double* drift) {
    each_row(panel, width, rows, from, to, [&](int64_t t, int lane, const auto& out) {
        Vec squares = Vec::zero(), sizes = Vec::zero();
        for (const Vec& e : out) {
            squares = fma(e * Vec::all(sign[t++]), e, squares);
            sizes = sizes + absolute(e);
        }
        add_to(squares, d2 + lane);
        add_to(sizes, drift + lane);
    });
}

double largest(const Vec64 (&x)[kVecs]) {
    Vec64 top = x[0];
    for (int v = 1; v < kVecs; ++v) top = max(x[v], top);
    return highest_lane(top);
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

double bound(const double* base, const double* d2, const double* drift, const double* norms, int64_t moves,
             const Scoring& scoring, Bounds bounds) {
    const Vec64 eps = Vec64::all(scoring.eps), weight = Vec64::all(scoring.weight);
    const Vec64 delta = Vec64::all(scoring.delta), of_drift = Vec64::all(2.0 * scoring.delta + kSumming);
    const Vec64 count = Vec64::all(static_cast<double>(moves) * scoring.delta);
    Vec64 upper[kVecs];
    for (int v = 0; v < kVecs; ++v) {
        const int at = v * kLanes;
        // |e^2 - e'^2| <= (2 |e'| + delta |item|) delta |item|, what summing e'^2 <= 1.01 |e'| |item| in float32
        // rounds, and what float64 rounds itself.
        const Vec64 norm = Vec64::load(norms + at);
        const Vec64 error =
            norm * (of_drift * Vec64::load(drift + at) + delta * (count * norm) + Vec64::all(1e-13) * norm);
        const Vec64 rest = Vec64::load(d2 + at), b = Vec64::load(base + at);
        const Vec64 high = max(rest + error, eps), low = max(rest - error, eps);
        if (scoring.product) {
            upper[v] = b * high;
            (b * low * Vec64::all(1.0 - 1e-12)).store(bounds.lower + at);
        } else {
            upper[v] = b + weight * log_of(high);
            (b + weight * log_of(low)).store(bounds.lower + at);
        }
        upper[v].store(bounds.upper + at);
    }
    return largest(upper);
}

double relevances(const double* base, const Relevance& relevance, const float* peak, Bounds bounds) {
    Vec64 upper[kVecs];
    for (int v = 0; v < kVecs; ++v) {
        const Vec64 score =
            Vec64::load(base + v * kLanes) - Vec64::all(relevance.weight) * Vec64::load(peak + v * kLanes);
        upper[v] = score + Vec64::all(relevance.slack);
        upper[v].store(bounds.upper + v * kLanes);
        (score - Vec64::all(relevance.slack)).store(bounds.lower + v * kLanes);
    }
    return largest(upper);
}

double grow(const float* panel, int64_t width, Rows<float> rows, int64_t from, int64_t to, const double* base,
            const Relevance& relevance, Peaks peaks, Bounds bounds) {
    each_row(panel, width, rows, from, to, [&](int64_t t, int lane, const auto& out) {
        Vec first = Vec::load(peaks.first + lane), second = Vec::load(peaks.second + lane);
        Vec row = Vec::load(peaks.row + lane);
        for (const Vec& x : out) {
            second = max(min(x, first), second);
            row = where_greater(x, first, Vec::all(static_cast<float>(t++)), row);
            first = max(x, first);
        }
        first.store(peaks.first + lane);
        second.store(peaks.second + lane);
        row.store(peaks.row + lane);
    });
    return relevances(base, relevance, peaks.first, bounds);
}

double most_relevant(const double* base, const Relevance& relevance, const float* peak) {
    Vec64 upper[kVecs];
    for (int v = 0; v < kVecs; ++v)
        upper[v] = Vec64::load(base + v * kLanes) - Vec64::all(relevance.weight) * Vec64::load(peak + v * kLanes);
    return largest(upper) + relevance.slack;
}

double touch(const float* panel, int64_t width, const float* row, const double* base, const Relevance& relevance) {
    float products[kPanel];
    rows_at_once<1>(panel, width, {row, width}, 0,
                    [&](int64_t, int lane, const auto& out) { out[0].store(products + lane); });
    return most_relevant(base, relevance, products);
}

double slide(const float* panel, int64_t width, Rows<float> rows, int64_t from, int64_t to, int64_t held,
             const double* base, const Relevance& relevance, float* columns, Bounds bounds, const Fade& fade,
             double* later) {
    each_row(panel, width, rows, from, to, [&](int64_t t, int lane, const auto& out) {
        for (const Vec& x : out) x.store(columns + t++ % held * kPanel + lane);
    });
    const int64_t filled = to < held ? to : held;
    float peaks[kStages + 1][kPanel];
    for (int lane = 0; lane < static_cast<int>(kPanel); lane += Vec::kLanes) {
        int64_t at = (to - 1) % held;
        Vec top = Vec::load(columns + at * kPanel + lane);
        int stage = kStages;
        for (int64_t age = 1; age < filled; ++age) {
            while (stage && age == fade.newest[stage - 1]) top.store(peaks[--stage] + lane);
            at = at ? at - 1 : held - 1;
            top = max(Vec::load(columns + at * kPanel + lane), top);
        }
        while (stage) top.store(peaks[--stage] + lane);
        top.store(peaks[kStages] + lane);
    }
    for (int stage = 0; stage < kStages; ++stage) later[stage] = most_relevant(base, relevance, peaks[stage]);
    return relevances(base, relevance, peaks[kStages], bounds);
}

int64_t highest(const double* x, int64_t n) {
    Vec64 top[kBlockVecs];
    for (int v = 0; v < kBlockVecs; ++v) top[v] = Vec64::load(x + v * kLanes);
    for (int64_t i = kBlock; i < n; i += kBlock)
        for (int v = 0; v < kBlockVecs; ++v) top[v] = max(Vec64::load(x + i + v * kLanes), top[v]);
    for (int v = 1; v < kBlockVecs; ++v) top[0] = max(top[v], top[0]);
    const double most = highest_lane(top[0]);
    for (int64_t i = 0; i < n; i += kLanes)
        if (const uint32_t lanes = at_least(Vec64::load(x + i), Vec64::all(most))) return i + __builtin_ctz(lanes);
    return 0;
}

double largest_of(const double* x, uint32_t allowed) {
    Vec64 lanes[kVecs];
    for (int v = 0; v < kVecs; ++v)
        lanes[v] = choose(allowed >> (v * kLanes), Vec64::load(x + v * kLanes), Vec64::all(kMinusInfinity));
    return largest(lanes);
}

uint32_t reach(const double* x, double bar) {
    uint32_t lanes = 0;
    for (int v = 0; v < kVecs; ++v) lanes |= at_least(Vec64::load(x + v * kLanes), Vec64::all(bar)) << (v * kLanes);
    return lanes;
}

uint32_t among(const int32_t* kinds, const int32_t* some, int64_t count) {
    uint32_t lanes = 0;
    for (int64_t i = 0; i < count; ++i) lanes |= equal_lanes(kinds, some[i]);
    return lanes;
}

void widen(const float* x, int64_t n, double* out) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) Vec64::load(x + i).store(out + i);
    for (; i < n; ++i) out[i] = static_cast<double>(x[i]);
    for (; i % kBlock; ++i) out[i] = 0.0;
}

void scale(const double* x, int64_t n, double by, double* out) {
    for (int64_t i = 0; i < n; i += kLanes) (Vec64::all(by) * Vec64::load(x + i)).store(out + i);
}

void narrow(const double* x, int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(x[i]);
}

// rest -= sum_t weight[t] * row t over B blocks from column c on.
template <int B>
void take_away(Rows<double> rows, int64_t count, const double* weight, int64_t c, double* rest) {
    Vec64 x[B * kBlockVecs];
    for (int v = 0; v < B * kBlockVecs; ++v) x[v] = Vec64::load(rest + c + v * kLanes);
    for (int64_t t = 0; t < count; ++t) {
        const Vec64 w = Vec64::all(-weight[t]);
        for (int v = 0; v < B * kBlockVecs; ++v) x[v] = fused(w, Vec64::load(rows.at(t) + c + v * kLanes), x[v]);
    }
    for (int v = 0; v < B * kBlockVecs; ++v) x[v].store(rest + c + v * kLanes);
}

// Products of x with R rows, whose blocks share the loads of x.
template <int R>
__attribute__((always_inline)) inline void products_of(const double* row, int64_t stride, const double* x,
                                                       double* out) {
    Vec64 sum[R][kBlockVecs];
    for (auto& of_row : sum)
        for (Vec64& s : of_row) s = Vec64::zero();
    for (int64_t c = 0; c < stride; c += kBlock)
        for (int v = 0; v < kBlockVecs; ++v) {
            const Vec64 b = Vec64::load(x + c + v * kLanes);
            for (int r = 0; r < R; ++r) sum[r][v] = fused(Vec64::load(row + r * stride + c + v * kLanes), b, sum[r][v]);
        }
    for (int r = 0; r < R; ++r) out[r] = total(sum[r]);
}

void products(Rows<double> rows, int64_t count, const double* x, double* out) {
    constexpr int kRows = kLanes == 1 ? 1 : 4;
    int64_t t = 0;
    for (; t + kRows <= count; t += kRows) products_of<kRows>(rows.at(t), rows.stride, x, out + t);
    for (; t < count; ++t) products_of<1>(rows.at(t), rows.stride, x, out + t);
}

double subtract(Rows<double> rows, int64_t count, const double* weight, double* rest) {
    constexpr int kBlocks = kLanes == 8 ? 8 : kLanes == 4 ? 4 : 1;
    int64_t c = 0;
    for (; c + kBlocks * kBlock <= rows.stride; c += kBlocks * kBlock) take_away<kBlocks>(rows, count, weight, c, rest);
    for (; c < rows.stride; c += kBlock) take_away<1>(rows, count, weight, c, rest);
    double square;
    products_of<1>(rest, rows.stride, rest, &square);
    return square;
}

void rotate(double* x, double* y, int64_t n, double c, double s) {
    const Vec64 cosine = Vec64::all(c), sine = Vec64::all(s);
    for (int64_t i = 0; i < n; i += kLanes) {
        const Vec64 a = Vec64::load(x + i), b = Vec64::load(y + i);
        (cosine * a + sine * b).store(x + i);
        (cosine * b - sine * a).store(y + i);
    }
}

const GreedyKernels kTable{finite, scan,  pack,  move,  bound,  grow,     touch,    slide,  highest,      largest_of,
                           reach,  among, widen, scale, narrow, products, subtract, rotate, exponentials, logarithm};

}  // namespace
}  // namespace hr
