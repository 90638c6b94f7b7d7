#include "dpp/basis.h"

#include <cmath>

namespace {

constexpr double kLittle = 1e-6;
constexpr double kRounding = 0x1p-40;  // float64 cannot tell less of a square from nothing

}  // namespace

hr::Basis::Basis(const GreedyKernels& kernels, int64_t width, int64_t steps, int64_t window, Scratch& scratch)
    : kernels_(kernels),
      width_(width),
      stride_(blocks(width)),
      held_(blocks(std::min(window ? std::min(window, steps) : steps, width))),
      // Long epochs: a panel that is always up to date must begin anew with each.
      room_(window ? 64 + 4 * held_ : held_) {
    rows_ = scratch.rows.take(held_, stride_);
    moves_ = scratch.moves.take(room_, width_);
    signs_ = scratch.signs.take(room_);
    weights_ = scratch.weights.take(held_, 2);
    rest_ = scratch.rest.take(stride_);
    members_ = scratch.members.take(held_);
    factor_ = window ? scratch.factor.take(held_, held_) : nullptr;
    if (factor_) std::fill_n(factor_, held_ * held_, 0.0);
}

double hr::Basis::distance(const float* vector, double square, int64_t slot) {
    if (full()) return 0.0;
    if (known_ == slot) return known_distance_;
    kernels_.widen(vector, width_, rest_);
    kernels_.products({rows_, stride_}, count_, rest_, weights_);
    known_ = slot;
    known_distance_ = square;
    for (int64_t t = 0; t < count_; ++t) known_distance_ -= weights_[t] * weights_[t];
    // Where little is left, the difference has lost it; the vector off the span has not.
    if (count_ && known_distance_ < kLittle * square) {
        known_distance_ = kernels_.subtract({rows_, stride_}, count_, weights_, rest_);
        kernels_.widen(vector, width_, rest_);
        if (known_distance_ < kRounding * square) known_distance_ = 0.0;
    }
    return known_distance_;
}

void hr::Basis::join(const float* vector, double square, int64_t slot) {
    make_room();
    distance(vector, square, slot);
    known_ = -1;
    const Rows<double> rows{rows_, stride_};
    double left = kernels_.subtract(rows, count_, weights_, rest_);
    // Projecting again removes what rounding leaves of a vector close to the span.
    if (left < 0.01 * square) {
        double* again = weights_ + held_;
        kernels_.products(rows, count_, rest_, again);
        left = kernels_.subtract(rows, count_, again, rest_);
        for (int64_t t = 0; t < count_; ++t) weights_[t] += again[t];
    }
    const double length = std::sqrt(left);
    if (!(length > 0.0)) return;
    double* direction = row(count_);
    kernels_.scale(rest_, stride_, 1.0 / length, direction);
    if (factor_) {
        for (int64_t t = 0; t < count_; ++t) factor(t)[count_] = weights_[t];
        factor(count_)[count_] = length;
    }
    members_[count_++] = slot;
    move(direction, -1.0f);
}

void hr::Basis::leave(int64_t slot) {
    const int64_t from = std::find(members_, members_ + count_, slot) - members_;
    make_room();
    known_ = -1;
    std::copy(members_ + from + 1, members_ + count_, members_ + from);
    for (int64_t t = 0; t < count_; ++t) {
        double* line = factor(t);
        std::copy(line + from + 1, line + count_, line + from);
        line[count_ - 1] = 0.0;
    }
    // Without its column, the factor has one number below its diagonal in each later column: a rotation clears it.
    for (int64_t t = from; t + 1 < count_; ++t) {
        const double x = factor(t)[t], y = factor(t + 1)[t], length = std::sqrt(x * x + y * y);
        const double c = x / length, s = y / length;
        kernels_.rotate(factor(t), factor(t + 1), held_, c, s);
        factor(t + 1)[t] = 0.0;
        kernels_.rotate(row(t), row(t + 1), stride_, c, s);
    }
    move(row(--count_), 1.0f);
}

void hr::Basis::clear() {
    if (factor_) std::fill_n(factor_, held_ * held_, 0.0);
    count_ = moved_ = 0;
    known_ = -1;
    ++epoch_;
}

void hr::Basis::move(const double* direction, float sign) {
    kernels_.narrow(direction, width_, moves_ + moved_ * width_);
    signs_[moved_++] = sign;
}

void hr::Basis::make_room() {
    if (moved_ < room_) return;
    ++epoch_;
    moved_ = 0;
    for (int64_t t = 0; t < count_; ++t) move(row(t), -1.0f);
}
