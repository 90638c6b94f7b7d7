#include "topk/topk.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "core/cpu.h"
#include "core/pool.h"
#include "core/status.h"
#include "topk/search.h"

namespace {

const hr::TopkKernels& kernels() {
#if HEADRACE_X86
    const hr_isa level = hr::active_isa();
    if (level >= HR_ISA_AVX512) return hr::topk_kernels_avx512;
    if (level >= HR_ISA_AVX2) return hr::topk_kernels_avx2;
#endif
    return hr::topk_kernels_scalar;
}

void check_range(const char* name, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most)
        throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(least) + " to " +
                                    std::to_string(most) + ", got " + std::to_string(value));
}

void check_fits(const char* name, int64_t rows, int64_t width) {
    int64_t bytes;
    if (__builtin_mul_overflow(rows, width, &bytes) || __builtin_mul_overflow(bytes, 8, &bytes))
        throw std::invalid_argument(std::string(name) + ": too large");
}

void check_pointer(const char* name, const void* pointer, int64_t rows) {
    if (!pointer && rows > 0) throw std::invalid_argument(std::string(name) + ": expected a pointer, got null");
}

}  // namespace

hr_status hr_topk(const float* queries, int64_t n_queries, const float* items, int64_t n_items, int64_t dim, int64_t k,
                  int metric, const uint64_t* mask, int64_t mask_stride, int threads, float* scores, int64_t* ids) {
    return hr::guarded([&] {
        constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
        check_range("n_queries", n_queries, 0, kMost);
        check_range("n_items", n_items, 0, std::numeric_limits<int32_t>::max());
        check_range("dim", dim, 1, 65536);
        check_range("k", k, 1, kMost);
        check_range("metric", metric, HR_METRIC_IP, HR_METRIC_L2);
        check_fits("queries", n_queries, dim);
        check_fits("scores", n_queries, k);
        if (mask_stride && mask_stride != (n_items + 63) / 64)
            throw std::invalid_argument("mask_stride: expected 0 or " + std::to_string((n_items + 63) / 64) + ", got " +
                                        std::to_string(mask_stride));
        check_pointer("queries", queries, n_queries);
        check_pointer("items", items, n_items);
        check_pointer("scores", scores, n_queries);
        check_pointer("ids", ids, n_queries);
        const int workers = hr::resolve_threads(threads);
        if (n_queries == 0) return;
        const int64_t found = std::min(k, std::max<int64_t>(n_items, 1));
        const hr::Problem problem{
            &kernels(), items, n_items, dim, found, k, static_cast<hr_metric>(metric), mask, mask ? mask_stride : 0};
        hr::Search(problem, queries, n_queries, workers, scores, ids).run();
    });
}
