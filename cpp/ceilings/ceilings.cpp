#include "ceilings/ceilings.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "ceilings/kernels.h"
#include "ceilings/rounds.h"
#include "core/checks.h"
#include "core/dispatch.h"
#include "core/pool.h"
#include "core/status.h"

namespace {

using hr::expect;

constexpr int64_t kMaxBytes = int64_t{1} << 40;
constexpr int64_t kSteps = 1000;  // multiply-add steps in one unit of work
constexpr int64_t kReads = 1000;  // random reads in one
constexpr int64_t kChunk =
    int64_t{1} << 20;  // bytes read in order, or copied, in one; the next unit goes on behind them

void check(int threads, double seconds, const double* rate) {
    expect(threads >= 0 && threads <= 1024, "threads: expected 0 to 1024, got " + std::to_string(threads));
    expect(std::isfinite(seconds) && seconds > 0 && seconds <= 60,
           "seconds: expected above 0 and at most 60, got " + std::to_string(seconds));
    expect(rate != nullptr, "rate: expected a place for the answer, got null");
}

// Pages of one thread, written so that they exist, in huge pages where the system has them: a ceiling is the best case.
class Pages {
  public:
    explicit Pages(int64_t bytes) : bytes_(bytes) {
        void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) throw std::bad_alloc();
        data_ = static_cast<char*>(at);
#ifdef MADV_HUGEPAGE
        madvise(data_, bytes, MADV_HUGEPAGE);
#endif
        std::memset(data_, 1, bytes);
    }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    ~Pages() { munmap(data_, bytes_); }
    char* data() const { return data_; }

  private:
    char* data_ = nullptr;
    int64_t bytes_;
};

const hr::CeilingLoops& loops() {
    return hr::pick<hr::CeilingLoops>(
        {&hr::ceiling_loops_scalar, HR_X86(hr::ceiling_loops_avx2), HR_X86(hr::ceiling_loops_avx512)});
}

const hr::MatrixLoop& bfloat16_loop() {
    return hr::pick<hr::MatrixLoop>({
        .scalar = &hr::ceiling_loops_scalar.bfloat16,
        .avx2 = HR_X86(hr::ceiling_loops_avx2.bfloat16),
        .avx512 = HR_X86(hr::ceiling_loops_avx512.bfloat16),
        .avx512bf16 = HR_X86(hr::bfloat16_loop_avx512bf16),
        .amx = HR_X86(hr::bfloat16_loop_amx),
    });
}

const hr::MatrixLoop& int8_loop() {
    return hr::pick<hr::MatrixLoop>({
        .scalar = &hr::ceiling_loops_scalar.int8,
        .avx2 = HR_X86(hr::ceiling_loops_avx2.int8),
        .avx512 = HR_X86(hr::ceiling_loops_avx512.int8),
        .avxvnni = HR_X86(hr::int8_loop_avxvnni),
        .avx512vnni = HR_X86(hr::int8_loop_avx512vnni),
        .amx = HR_X86(hr::int8_loop_amx),
    });
}

const hr::MatrixLoop& matrix_loop(int number) {
    switch (number) {
        case HR_FLOAT32:
            return loops().float32;
        case HR_FLOAT64:
            return loops().float64;
        case HR_BFLOAT16:
            return bfloat16_loop();
        case HR_INT8:
            return int8_loop();
    }
    throw std::invalid_argument("number: expected 0 to 3, got " + std::to_string(number));
}

// Keeps an optimiser that sees the whole program from leaving out work whose answer nobody reads.
template <class T>
void use(T value) {
    [[maybe_unused]] volatile T sink = value;
}

// Bytes per second. work(data, unit) does unit 0, 1, 2, ... of a thread, each moving `moved` bytes.
template <class Work>
double memory_rate(int64_t bytes, int threads, double seconds, double moved, const Work& work) {
    return moved * hr::best_rate(threads, seconds, [&](int thread) -> hr::Run {
               auto pages = std::make_shared<Pages>(bytes);
               return [&work, pages, unit = int64_t{thread} << 40](int64_t units) mutable {
                   for (const int64_t end = unit + units; unit < end; ++unit) work(pages->data(), unit);
               };
           });
}

double read_rate(const hr::MemoryLoops& loops, int64_t bytes, int threads, double seconds) {
    const int64_t chunk = std::min(bytes, kChunk), chunks = bytes / chunk;
    return memory_rate(bytes, threads, seconds, static_cast<double>(chunk),
                       [&](char* data, int64_t unit) { use(loops.read(data + unit % chunks * chunk, chunk)); });
}

template <class Copy>
double copy_rate(const Copy& copy, int64_t bytes, int threads, double seconds) {
    const int64_t half = bytes / 2, chunk = std::min(half, kChunk), chunks = half / chunk;
    return memory_rate(bytes, threads, seconds, 2.0 * chunk, [&](char* data, int64_t unit) {
        char* from = data + unit % chunks * chunk;
        copy(from + half, from, chunk);
    });
}

double random_rate(hr::RandomLoop read, int64_t row, int64_t bytes, int threads, double seconds) {
    return memory_rate(bytes, threads, seconds, static_cast<double>(kReads * row),
                       [&](char* data, int64_t unit) { use(read(data, bytes / row, unit * kReads, kReads)); });
}

struct Rate {
    double value;
    const char* how;
};

Rate better(Rate a, Rate b) { return a.value >= b.value ? a : b; }

Rate memory_ceiling(int pattern, int64_t bytes, int threads, double seconds) {
    const hr::MemoryLoops& memory = loops().memory;
    const double half = seconds / 2;
    switch (pattern) {
        case HR_PATTERN_READ:
            return {read_rate(memory, bytes, threads, seconds), memory.how};
        case HR_PATTERN_COPY:
            return better({copy_rate(std::memcpy, bytes, threads, half), "memcpy"},
                          {copy_rate(memory.stream, bytes, threads, half), "non-temporal stores"});
        case HR_PATTERN_RANDOM:
            return better({random_rate(memory.lines, 64, bytes, threads, half), "64-byte lines"},
                          {random_rate(memory.lines_ahead, 64, bytes, threads, half), "64-byte lines, prefetched"});
        case HR_PATTERN_RANDOM_ROW:
            return better({random_rate(memory.rows, 256, bytes, threads, half), "256-byte rows"},
                          {random_rate(memory.rows_ahead, 256, bytes, threads, half), "256-byte rows, prefetched"});
    }
    throw std::invalid_argument("pattern: expected 0 to 3, got " + std::to_string(pattern));
}

}  // namespace

hr_status hr_memory_ceiling(int pattern, int64_t bytes, int threads, double seconds, double* rate, const char** how) {
    return hr::guarded([&] {
        check(threads, seconds, rate);
        expect(bytes >= 4096 && bytes <= kMaxBytes,
               "bytes: expected 4096 to 2^40 a thread, got " + std::to_string(bytes));
        const Rate best = memory_ceiling(pattern, bytes - bytes % 1024, hr::resolve_threads(threads), seconds);
        *rate = best.value;
        if (how) *how = best.how;
    });
}

hr_status hr_matrix_ceiling(int number, int threads, double seconds, double* rate, const char** how) {
    return hr::guarded([&] {
        check(threads, seconds, rate);
        const hr::MatrixLoop& loop = matrix_loop(number);
        const double units = hr::best_rate(hr::resolve_threads(threads), seconds, [&](int) -> hr::Run {
            return [&](int64_t count) { use(loop.run(count * kSteps)); };
        });
        *rate = units * kSteps * loop.operations;
        if (how) *how = loop.how;
    });
}
