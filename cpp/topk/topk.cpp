#include "topk/topk.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/dispatch.h"
#include "core/pool.h"
#include "core/status.h"
#include "topk/mask_plan.h"
#include "topk/merge.h"
#include "topk/search.h"

namespace {

const hr::TopkKernels& kernels() {
    return hr::pick<hr::TopkKernels>(
        {&hr::topk_kernels_scalar, HR_X86(hr::topk_kernels_avx2), HR_X86(hr::topk_kernels_avx512)});
}

// `together`: queries that read the catalogue at the same time.
const hr::PackedKernels& packed_kernels(hr_scan scan, int64_t together) {
    constexpr int64_t kFillTiles = 8;  // fewer leave most of a tile's rows empty and wait for memory either way
    hr::Tables<hr::PackedKernels> bfloat16{
        .scalar = &hr::packed_bfloat16_scalar,
        .avx2 = HR_X86(hr::packed_bfloat16_avx2),
        .avx512 = HR_X86(hr::packed_bfloat16_avx512),
        .avx512bf16 = HR_X86(hr::packed_bfloat16_avx512bf16),
        .amx = HR_X86(hr::packed_bfloat16_amx),
    };
    hr::Tables<hr::PackedKernels> int8{
        .scalar = &hr::packed_int8_scalar,
        .avx2 = HR_X86(hr::packed_int8_avx2),
        .avx512 = HR_X86(hr::packed_int8_avx512),
        .avxvnni = HR_X86(hr::packed_int8_avxvnni),
        .avx512vnni = HR_X86(hr::packed_int8_avx512vnni),
        .amx = HR_X86(hr::packed_int8_amx),
    };
    hr::Tables<hr::PackedKernels>& tables = scan == HR_SCAN_INT8 ? int8 : bfloat16;
    if (together < kFillTiles) tables.amx = nullptr;
    return hr::pick(tables);
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

struct Call {
    const float* queries;
    int64_t n_queries;
    const float* items;
    int64_t n_items, dim, k;
    int metric;
    const uint64_t* mask;
    int64_t mask_stride;
    int threads;
    double* scores;
    int64_t* ids;
};

void check_items(int64_t n_items, int64_t dim, int metric) {
    check_range("n_items", n_items, 0, std::numeric_limits<int32_t>::max());
    check_range("dim", dim, 1, 65536);
    check_range("metric", metric, HR_METRIC_IP, HR_METRIC_L2);
}

hr_topk_counts search(const Call& call, hr::Packed* packed) {
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    const int64_t words = (call.n_items + 63) / 64;
    check_range("n_queries", call.n_queries, 0, kMost);
    check_items(call.n_items, call.dim, call.metric);
    check_range("k", call.k, 1, kMost);
    check_fits("queries", call.n_queries, call.dim);
    check_fits("scores", call.n_queries, call.k);
    if (call.mask_stride && call.mask_stride != words)
        throw std::invalid_argument("mask_stride: expected 0 or " + std::to_string(words) + ", got " +
                                    std::to_string(call.mask_stride));
    check_pointer("queries", call.queries, call.n_queries);
    if (!packed) check_pointer("items", call.items, call.n_items);
    check_pointer("scores", call.scores, call.n_queries);
    check_pointer("ids", call.ids, call.n_queries);
    const int workers = hr::resolve_threads(call.threads);
    if (call.n_queries == 0) return {};
    const hr::MaskPlan plan =
        call.mask ? hr::plan_masks(call.mask, call.mask_stride, call.n_queries, call.n_items, packed, !call.items)
                  : hr::MaskPlan{};
    if (packed) packed->kernels = &packed_kernels(packed->layout.scan, plan.alone ? 1 : call.n_queries);
    const hr::Problem problem{&kernels(),
                              call.items,
                              call.n_items,
                              call.dim,
                              std::min(call.k, std::max<int64_t>(call.n_items, 1)),
                              call.k,
                              static_cast<hr_metric>(call.metric),
                              call.mask,
                              call.mask ? call.mask_stride : 0,
                              plan.gather ? nullptr : packed,
                              call.items ? nullptr : packed,
                              plan.alone};
    hr::Search search(problem, call.queries, call.n_queries, workers, call.scores, call.ids);
    search.run();
    return search.counts();
}

hr::PackedLayout packed_layout(int64_t n_items, int64_t dim, int metric, int scan) {
    check_items(n_items, dim, metric);
    check_range("scan", scan, HR_SCAN_BFLOAT16, HR_SCAN_INT8);
    return {n_items, dim, static_cast<hr_scan>(scan), static_cast<hr_metric>(metric)};
}

}  // namespace

hr_status hr_topk(const float* queries, int64_t n_queries, const float* items, int64_t n_items, int64_t dim, int64_t k,
                  int metric, const uint64_t* mask, int64_t mask_stride, int threads, double* scores, int64_t* ids) {
    return hr::guarded([&] {
        search({queries, n_queries, items, n_items, dim, k, metric, mask, mask_stride, threads, scores, ids}, nullptr);
    });
}

hr_status hr_topk_packed_bytes(int64_t n_items, int64_t dim, int metric, int scan, int64_t* bytes) {
    return hr::guarded([&] {
        check_pointer("bytes", bytes, 1);
        *bytes = packed_layout(n_items, dim, metric, scan).bytes();
    });
}

hr_status hr_topk_pack(const float* items, int64_t n_items, int64_t dim, int metric, int scan, int rounded, int threads,
                       void* packed) {
    return hr::guarded([&] {
        const hr::PackedLayout layout = packed_layout(n_items, dim, metric, scan);
        check_pointer("items", items, n_items);
        check_pointer("packed", packed, n_items);
        const int64_t bad =
            hr::pack_items(layout, items, rounded != 0, hr::resolve_threads(threads), static_cast<std::byte*>(packed));
        if (bad >= 0)
            throw std::invalid_argument("items: expected finite values, got NaN or infinity in row " +
                                        std::to_string(bad));
    });
}

hr_status hr_topk_unpack(const void* packed, int64_t n_items, int64_t dim, int metric, int scan, const int32_t* rows,
                         int64_t n_rows, int threads, float* vectors) {
    return hr::guarded([&] {
        const hr::PackedLayout layout = packed_layout(n_items, dim, metric, scan);
        check_range("n_rows", n_rows, 0, std::numeric_limits<int64_t>::max());
        check_fits("vectors", n_rows, dim);
        check_pointer("packed", packed, n_items);
        check_pointer("rows", rows, n_rows);
        check_pointer("vectors", vectors, n_rows);
        for (int64_t i = 0; i < n_rows; ++i) check_range("rows", rows[i], 0, n_items - 1);
        constexpr int64_t kRows = 16384;
        hr::parallel_for((n_rows + kRows - 1) / kRows, hr::resolve_threads(threads), [&](int64_t task, int) {
            const int64_t first = task * kRows;
            hr::unpack_rows(layout, static_cast<const std::byte*>(packed), rows + first,
                            std::min(kRows, n_rows - first), vectors + first * dim);
        });
    });
}

hr_status hr_topk_packed(const float* queries, int64_t n_queries, const float* items, const void* packed,
                         int64_t n_items, int64_t dim, int64_t k, int metric, int scan, const uint64_t* mask,
                         int64_t mask_stride, int threads, double* scores, int64_t* ids, hr_topk_counts* counts) {
    return hr::guarded([&] {
        const hr::PackedLayout layout = packed_layout(n_items, dim, metric, scan);
        check_pointer("packed", packed, n_items);
        hr::Packed catalogue{layout, static_cast<const std::byte*>(packed), nullptr};
        const hr_topk_counts done = search(
            {queries, n_queries, items, n_items, dim, k, metric, mask, mask_stride, threads, scores, ids}, &catalogue);
        if (counts) *counts = done;
    });
}

hr_status hr_topk_merge(const double* scores, const int64_t* ids, int64_t n_lists, int64_t n_queries, int64_t width,
                        int64_t k, double* merged_scores, int64_t* merged_ids) {
    return hr::guarded([&] {
        constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
        check_range("n_lists", n_lists, 0, std::numeric_limits<int32_t>::max());
        check_range("n_queries", n_queries, 0, kMost);
        check_range("width", width, 0, kMost);
        check_range("k", k, 1, kMost);
        check_fits("merged_scores", n_queries, k);
        int64_t rows = 0;
        if (__builtin_mul_overflow(n_lists, n_queries, &rows)) throw std::invalid_argument("scores: too large");
        check_fits("scores", rows, width);
        check_pointer("scores", scores, rows * width);
        check_pointer("ids", ids, rows * width);
        check_pointer("merged_scores", merged_scores, n_queries);
        check_pointer("merged_ids", merged_ids, n_queries);
        std::vector<int64_t> heads(static_cast<size_t>(n_lists));
        for (int64_t b = 0; b < n_queries; ++b)
            hr::merge_best({scores + b * width, ids + b * width, n_lists, width, n_queries * width}, k, heads.data(),
                           merged_scores + b * k, merged_ids + b * k);
    });
}
