#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.h"
#include "core/abi.h"
#include "core/dispatch.h"
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

void the_highest_table_of_the_level_is_picked() {
    const int scalar = 0, avx2 = 1, avx512 = 2, amx = 3, vnni = 4;
    hr_isa before = HR_ISA_SCALAR;
    CHECK(hr_get_isa(&before) == HR_OK);
    for (int level = HR_ISA_SCALAR; level <= HR_ISA_AMX; ++level) {
        if (hr_set_isa(level) != HR_OK) continue;
        const int plain = level < HR_ISA_AVX512 ? level : avx512;
        const bool has =
            level < HR_ISA_AVX512 ? level == HR_ISA_AVX2 && hr::cpu_has_avx_vnni() : hr::cpu_has_avx512_vnni();
        hr::Tables<int> of{&scalar, &avx2, &avx512};
        CHECK(hr::pick(of) == plain);
        of.avxvnni = of.avx512vnni = &vnni;
        CHECK(hr::pick(of) == (has ? vnni : plain));
        of.amx = &amx;
        CHECK(hr::pick(of) == (level == HR_ISA_AMX ? amx : has ? vnni : plain));
        CHECK(hr::pick<int>({&scalar, &avx2}) == (level < HR_ISA_AVX2 ? scalar : avx2));
        CHECK(hr::pick<int>({&scalar}) == scalar);
    }
    CHECK(hr_set_isa(before) == HR_OK);
}

}  // namespace

int main() {
    the_highest_table_of_the_level_is_picked();
    many_callers_share_the_pool();
    nested_calls_end();
    exceptions_reach_the_caller();
    settings_are_checked();
    every_task_runs_once();
    return report("core");
}
