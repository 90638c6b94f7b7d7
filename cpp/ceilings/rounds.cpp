#include "ceilings/rounds.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace {

constexpr double kRound = 0.002;  // seconds: long beside a wake-up, short beside a neighbour's turn on the core

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// One thread a core where there is one for each: a scheduler may leave two threads on one core for longer than a
// measurement lasts. With fewer threads than cores it knows better which cores share their units.
void pin(int thread, int threads) {
#ifdef __linux__
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) != threads) return;
    int cpu = 0;
    for (int before = 0; before < thread || !CPU_ISSET(cpu, &allowed); ++cpu) before += CPU_ISSET(cpu, &allowed) != 0;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
#else
    (void)thread, (void)threads;
#endif
}

class Rounds {
  public:
    Rounds(int threads, double seconds, const std::function<hr::Run(int)>& make)
        : threads_(threads),
          seconds_(seconds),
          make_(make),
          begin_(threads),
          end_(threads),
          start_(threads),
          finish_(threads) {}

    double best() {
        std::vector<std::thread> lanes;
        try {
            for (int thread = 0; thread < threads_; ++thread) lanes.emplace_back([this, thread] { lane(thread); });
        } catch (...) {  // the system has no more threads: let those that wait go home
            stop_ = true;
            for (int missing = static_cast<int>(lanes.size()); missing < threads_; ++missing) start_.arrive_and_drop();
            for (auto& lane : lanes) lane.join();
            throw;
        }
        for (auto& lane : lanes) lane.join();
        if (error_) std::rethrow_exception(error_);
        return best_;
    }

  private:
    void lane(int thread) {
        hr::Run run;
        pin(thread, threads_);
        try {
            run = make_(thread);
        } catch (...) {
            std::lock_guard lock(mutex_);
            error_ = std::current_exception();
            stop_ = true;
        }
        for (;;) {
            start_.arrive_and_wait();
            if (stop_) return;
            begin_[thread] = now();
            run(units_);
            end_[thread] = now();
            finish_.arrive_and_wait();
            if (thread == 0) close_round();
        }
    }

    // The round lasts from the first start to the last end: a thread that was kept waiting cannot flatter the rate.
    void close_round() {
        const double begin = *std::min_element(begin_.begin(), begin_.end());
        const double end = *std::max_element(end_.begin(), end_.end());
        if (best_ == 0) deadline_ = begin + seconds_;
        best_ = std::max(best_, static_cast<double>(threads_) * units_ / std::max(end - begin, 1e-9));
        if (end - begin < kRound) units_ *= 2;
        if (end >= deadline_) stop_ = true;
    }

    const int threads_;
    const double seconds_;
    const std::function<hr::Run(int)>& make_;
    std::vector<double> begin_, end_;
    std::barrier<> start_, finish_;
    std::atomic<bool> stop_{false};
    std::mutex mutex_;
    std::exception_ptr error_;
    int64_t units_ = 1;
    double best_ = 0, deadline_ = 0;
};

}  // namespace

double hr::best_rate(int threads, double seconds, const std::function<Run(int)>& make) {
    // Two measurements at once would each see half a machine.
    static std::mutex one_at_a_time;
    std::lock_guard lock(one_at_a_time);
    return Rounds(threads, seconds, make).best();
}
