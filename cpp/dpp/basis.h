// An orthonormal basis of the window's span, and the moves by which every item's squared distance follows it.
//
// A move is a unit vector and a sign: a pick that joins takes <item, u>^2 from an item's d2, one that leaves gives it
// back. An item catches up on all moves that it missed at once.
#pragma once

#include "dpp/greedy.h"

namespace hr {

class Basis {
  public:
    // Of at most `window` picks at a time (0: they never leave) out of `steps`.
    Basis(const GreedyKernels& kernels, int64_t width, int64_t steps, int64_t window, Scratch& scratch);

    // Whether the window spans the whole space.
    bool full() const { return count_ == width_; }
    // The squared distance of the slot's vector, |vector|^2 = `square`, from the span.
    double distance(const float* vector, double square, int64_t slot);
    // Adds the direction of the vector off the span.
    void join(const float* vector, double square, int64_t slot);
    // Turns the basis until one direction is off the span of all picks but `slot`, and drops it.
    void leave(int64_t slot);
    void clear();

    // Moves begin anew with each epoch, from d2 = |item|^2: the basis itself, then what changes it.
    int64_t epoch() const { return epoch_; }
    int64_t moves() const { return moved_; }
    Rows<float> rows() const { return {moves_, width_}; }
    const float* signs() const { return signs_; }

  private:
    double* row(int64_t t) const { return rows_ + t * stride_; }
    double* factor(int64_t t) const { return factor_ + t * held_; }
    void move(const double* direction, float sign);
    void make_room();

    const GreedyKernels& kernels_;
    const int64_t width_, stride_, held_, room_;
    double *rows_, *factor_, *weights_, *rest_;
    float *moves_, *signs_;
    int64_t* members_;  // the picks with a direction of their own, in the order of the factor's columns
    int64_t count_ = 0, moved_ = 0, epoch_ = 0;
    int64_t known_ = -1;  // the slot whose products with the basis are in weights_, and the distance that they give
    double known_distance_ = 0.0;
};

}  // namespace hr
