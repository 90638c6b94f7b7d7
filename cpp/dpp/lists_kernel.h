// Reads a list once and packs its panels. Included by files of one instruction set.
#pragma once

#include "dpp/kernels.h"
#include "dpp/lanes.h"

namespace hr {
namespace {

constexpr int kLanes = Vec64::kLanes;
constexpr int kVecs = static_cast<int>(kPanel) / kLanes;
constexpr int kBlockVecs = static_cast<int>(kBlock) / kLanes;
constexpr int kSums = 4;  // that a product is split into

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
            squares[s] = multiply_add(a, a, squares[s]);
            if constexpr (kProbed) products[s] = multiply_add(a, Vec::load(probe + c + s * Vec::kLanes), products[s]);
        }
    for (int s = 0; c < width; c += Vec::kLanes, ++s) {
        const int left = static_cast<int>(width - c < Vec::kLanes ? width - c : Vec::kLanes);
        const Vec a = Vec::load_first(row + c, left);
        squares[s] = multiply_add(a, a, squares[s]);
        if constexpr (kProbed) products[s] = multiply_add(a, Vec::load_first(probe + c, left), products[s]);
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
            sum[v] = multiply_add(a, a, sum[v]);  // a product of two float32 is exact in float64
        }
    for (int v = 0; v < kVecs; ++v) {
        sum[v].store(squares + v * kLanes);
        root(sum[v]).store(norms + v * kLanes);
    }
}

}  // namespace
}  // namespace hr
