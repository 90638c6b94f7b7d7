#include <chrono>
#include <cmath>
#include <new>
#include <string>
#include <thread>

#include "ceilings/ceilings.h"
#include "ceilings/rounds.h"
#include "check.h"
#include "core/cpu.h"

namespace {

constexpr double kBrief = 1e-4;

void every_level_measures_everything() {
    for (int level = HR_ISA_SCALAR; level <= HR_ISA_AMX; ++level) {
        if (!hr_isa_usable(level)) continue;
        CHECK(hr_set_isa(level) == HR_OK);
        for (int threads : {1, 3}) {
            for (int number = HR_FLOAT32; number <= HR_INT8; ++number) {
                double rate = NAN;
                const char* how = nullptr;
                CHECK(hr_matrix_ceiling(number, threads, kBrief, &rate, &how) == HR_OK);
                CHECK(std::isfinite(rate) && rate > 0 && how && *how);
            }
            for (int pattern = HR_PATTERN_READ; pattern <= HR_PATTERN_RANDOM_ROW; ++pattern)
                for (int64_t bytes : {4096, 5000, 1 << 18}) {
                    double rate = NAN;
                    CHECK(hr_memory_ceiling(pattern, bytes, threads, kBrief, &rate, nullptr) == HR_OK);
                    CHECK(std::isfinite(rate) && rate > 0);
                }
        }
    }
}

void extensions_belong_to_their_level() {
    CHECK(!hr::cpu_has_avx_vnni() || hr_isa_usable(HR_ISA_AVX2));
    CHECK(!hr::cpu_has_avx512_vnni() || hr_isa_usable(HR_ISA_AVX512));
    CHECK(!hr::cpu_has_avx512_bf16() || hr_isa_usable(HR_ISA_AVX512));
}

void bad_input_is_told() {
    double rate = 0;
    CHECK(hr_matrix_ceiling(4, 1, kBrief, &rate, nullptr) == HR_INVALID);
    CHECK(std::string(hr_last_error()) == "number: expected 0 to 3, got 4");
    CHECK(hr_matrix_ceiling(0, -1, kBrief, &rate, nullptr) == HR_INVALID);
    CHECK(hr_matrix_ceiling(0, 1025, kBrief, &rate, nullptr) == HR_INVALID);
    CHECK(hr_matrix_ceiling(0, 1, 0, &rate, nullptr) == HR_INVALID);
    CHECK(hr_matrix_ceiling(0, 1, NAN, &rate, nullptr) == HR_INVALID);
    CHECK(hr_matrix_ceiling(0, 1, kBrief, nullptr, nullptr) == HR_INVALID);
    CHECK(hr_memory_ceiling(-1, 4096, 1, kBrief, &rate, nullptr) == HR_INVALID);
    CHECK(hr_memory_ceiling(0, 4095, 1, kBrief, &rate, nullptr) == HR_INVALID);
    CHECK(hr_memory_ceiling(0, INT64_MAX, 1, kBrief, &rate, nullptr) == HR_INVALID);
}

// A thread that cannot prepare must not leave the others waiting.
void a_failing_thread_ends_the_measurement() {
    bool thrown = false;
    try {
        hr::best_rate(3, kBrief, [](int thread) -> hr::Run {
            if (thread == 1) throw std::bad_alloc();
            return [](int64_t) {};
        });
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    CHECK(thrown);
}

void threads_count_together() {
    const auto sleep = [](int) -> hr::Run {
        return [](int64_t units) { std::this_thread::sleep_for(std::chrono::milliseconds(units)); };
    };
    const double rate = hr::best_rate(3, 0.01, sleep);
    CHECK(rate > 0 && rate <= 3000);
}

}  // namespace

int main() {
    every_level_measures_everything();
    extensions_belong_to_their_level();
    bad_input_is_told();
    a_failing_thread_ends_the_measurement();
    threads_count_together();
    return report("ceilings");
}
