// Runs the same work on several threads at once, again and again, and keeps the best round.
#pragma once

#include <cstdint>
#include <functional>

namespace hr {

// Does `units` units of work.
using Run = std::function<void(int64_t units)>;

// Units per second of all threads together. make(thread) runs on that thread, before any clock.
double best_rate(int threads, double seconds, const std::function<Run(int thread)>& make);

}  // namespace hr
