#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.h"
#include "core/abi.h"
#include "core/pool.h"
#include "core/status.h"

namespace {

void every_task_runs_once() {
    for (int threads : {1, 2, 3, 8}) {
        std::vector<std::atomic<int>> seen(1000);
        hr::parallel_for(1000, threads, [&](int64_t task, int worker) {
            if (worker < 0 || worker >= threads) throw std::logic_error("worker");
            seen[task].fetch_add(1);
        });
        int total = 0;
        for (auto& count : seen) total += count == 1;
        CHECK(total == 1000);
    }
}

void many_callers_share_the_pool() {
    std::atomic<int64_t> sum{0};
    std::vector<std::thread> callers;
    for (int c = 0; c < 8; ++c)
        callers.emplace_back([&] {
            for (int round = 0; round < 50; ++round)
                hr::parallel_for(20, 4, [&](int64_t task, int) { sum.fetch_add(task); });
        });
    for (auto& caller : callers) caller.join();
    CHECK(sum == 8 * 50 * 190);
}

void nested_calls_end() {
    std::atomic<int> leaves{0};
    hr::parallel_for(6, 3, [&](int64_t, int) { hr::parallel_for(5, 3, [&](int64_t, int) { leaves.fetch_add(1); }); });
    CHECK(leaves == 30);
}

void exceptions_reach_the_caller() {
    const hr_status status = hr::guarded([] {
        hr::parallel_for(100, 4, [](int64_t task, int) {
            if (task == 37) throw std::invalid_argument("task 37");
        });
    });
    CHECK(status == HR_INVALID);
    CHECK(std::string(hr_last_error()) == "task 37");
}

void settings_are_checked() {
    CHECK(hr_isa_usable(HR_ISA_SCALAR) == 1);
    CHECK(hr_set_isa(9) == HR_INVALID);
    CHECK(hr_set_threads(-1) == HR_INVALID);
    CHECK(hr_set_threads(3) == HR_OK);
    int threads = 0;
    CHECK(hr_get_threads(&threads) == HR_OK && threads == 3);
    CHECK(hr_set_threads(0) == HR_OK);
}

}  // namespace

int main() {
    many_callers_share_the_pool();
    nested_calls_end();
    exceptions_reach_the_caller();
    settings_are_checked();
    every_task_runs_once();
    return report("core");
}
