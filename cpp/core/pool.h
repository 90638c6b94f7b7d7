// A thread pool that many callers share. Each caller works too, so a call always ends and nested calls are safe.
#pragma once

#include <cstdint>
#include <type_traits>

namespace hr {

// Threads for a call that asks for `requested`; 0 means the process setting. Throws std::invalid_argument when bad.
int resolve_threads(int requested);

using TaskFn = void (*)(void* context, int64_t task, int worker);

// Runs task 0..tasks-1, each once, on at most `threads` threads (workers 0..threads-1; the caller is worker 0).
// The first exception of a task is thrown here, after all tasks have ended.
void run_tasks(int64_t tasks, int threads, TaskFn fn, void* context);

// body(task, worker), as run_tasks.
template <class Body>
void parallel_for(int64_t tasks, int threads, Body&& body) {
    using B = std::remove_reference_t<Body>;
    auto call = [](void* context, int64_t task, int worker) { (*static_cast<B*>(context))(task, worker); };
    run_tasks(tasks, threads, call, const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace hr
