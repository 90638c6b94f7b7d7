// Logarithms and exponentials in float64, the same bits on every instruction set.
#pragma once

#include "dpp/lists_kernel.h"

namespace hr {
namespace {

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

}  // namespace
}  // namespace hr
