#include "core/pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "core/abi.h"
#include "core/status.h"

namespace {

constexpr int kMaxThreads = 1024;

struct Job {
    hr::TaskFn fn;
    void* context;
    int64_t tasks;
    std::atomic<int64_t> next{0};
    std::atomic<int> workers{1};  // ids given out; the caller is 0
    int running = 0;              // pool threads inside, under the pool's mutex
    std::exception_ptr error;     // the first, under the pool's mutex

    Job(hr::TaskFn f, void* c, int64_t n) : fn(f), context(c), tasks(n) {}
};

class Pool {
  public:
    void run(Job& job, int threads) {
        const int helpers = static_cast<int>(std::min<int64_t>(threads, job.tasks)) - 1;
        {
            std::lock_guard lock(mutex_);
            grow(helpers);
            for (int i = 0; i < helpers; ++i) tickets_.push_back(&job);
        }
        for (int i = 0; i < helpers; ++i) wake_.notify_one();
        work(job, 0);
        std::unique_lock lock(mutex_);
        std::erase(tickets_, &job);
        done_.wait(lock, [&] { return job.running == 0; });
        if (job.error) std::rethrow_exception(job.error);
    }

  private:
    // Fewer where no more are to be had: the caller works too, so every task is done.
    void grow(int helpers) {
        try {
            for (; size_ < helpers; ++size_) std::thread([this] { serve(); }).detach();
        } catch (const std::system_error&) {
        }
    }

    void serve() {
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return !tickets_.empty(); });
            Job& job = *tickets_.front();
            tickets_.pop_front();
            ++job.running;
            lock.unlock();
            work(job, job.workers.fetch_add(1));
            lock.lock();
            if (--job.running == 0) done_.notify_all();
        }
    }

    void work(Job& job, int worker) {
        try {
            for (int64_t task; (task = job.next.fetch_add(1)) < job.tasks;) job.fn(job.context, task, worker);
        } catch (...) {
            job.next.store(job.tasks);
            std::lock_guard lock(mutex_);
            if (!job.error) job.error = std::current_exception();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_, done_;
    std::deque<Job*> tickets_;
    int size_ = 0;
};

std::atomic<Pool*> current{nullptr};

// The pool outlives every caller on purpose: detached threads may still sleep in it when the process exits.
Pool& pool() {
    static const int fork_handler = pthread_atfork(nullptr, nullptr, [] { current.store(nullptr); });
    (void)fork_handler;
    Pool* made = current.load();
    if (!made) {
        auto* fresh = new Pool;
        if (current.compare_exchange_strong(made, fresh)) return *fresh;
        delete fresh;
    }
    return *made;
}

int cgroup_cores() {
    std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r");
    if (!file) return kMaxThreads;
    long long quota = 0, period = 0;
    const int read = std::fscanf(file, "%lld %lld", &quota, &period);
    std::fclose(file);
    if (read != 2 || quota <= 0 || period <= 0) return kMaxThreads;  // "max": no limit
    return static_cast<int>(std::max(1LL, (quota + period - 1) / period));
}

int cores() {
    cpu_set_t set;
    const int allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return std::clamp(std::min(allowed, cgroup_cores()), 1, kMaxThreads);
}

int threads_from_environment() {
    const char* value = std::getenv("HEADRACE_THREADS");
    if (!value || !*value) return cores();
    int threads = 0;
    const char* end = value + std::strlen(value);
    const auto parsed = std::from_chars(value, end, threads);
    if (parsed.ec != std::errc() || parsed.ptr != end || threads < 1 || threads > kMaxThreads)
        throw std::invalid_argument(std::string("HEADRACE_THREADS: expected 1 to 1024, got '") + value + "'");
    return threads;
}

std::atomic<int>& process_threads() {
    static std::atomic<int> threads{threads_from_environment()};
    return threads;
}

void check_threads(int threads) {
    if (threads < 0 || threads > kMaxThreads)
        throw std::invalid_argument("threads: expected 0 to 1024, got " + std::to_string(threads));
}

}  // namespace

int hr::resolve_threads(int requested) {
    check_threads(requested);
    return requested ? requested : process_threads().load(std::memory_order_relaxed);
}

void hr::run_tasks(int64_t tasks, int threads, TaskFn fn, void* context) {
    if (tasks <= 0) return;
    if (threads <= 1 || tasks == 1) {
        for (int64_t task = 0; task < tasks; ++task) fn(context, task, 0);
        return;
    }
    Job job(fn, context, tasks);
    pool().run(job, threads);
}

hr_status hr_get_threads(int* threads) {
    return hr::guarded([&] {
        if (!threads) throw std::invalid_argument("threads: expected a pointer, got null");
        *threads = hr::resolve_threads(0);
    });
}

hr_status hr_set_threads(int threads) {
    return hr::guarded([&] {
        check_threads(threads);
        process_threads().store(threads ? threads : cores());
    });
}
