#include "closeness/closeness.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "closeness/kernels.h"
#include "core/checks.h"
#include "core/dispatch.h"
#include "core/pool.h"
#include "core/status.h"

namespace {

using hr::expect;

constexpr int64_t kCandidatesPerTask = 2048;
constexpr int64_t kMost = int64_t{1} << 32;

const hr::ClosenessKernels& kernels_in_use() {
    return hr::pick<hr::ClosenessKernels>(
        {&hr::closeness_kernels_scalar, HR_X86(hr::closeness_kernels_avx2), HR_X86(hr::closeness_kernels_avx512)});
}

struct Call {
    const float* content;
    int64_t items, dim;
    const int32_t* recent;
    int64_t length;
    const int64_t *offsets, *item;
    float* out;
};

// The recent vectors that are there, transposed behind their mean; the width, 0 without any.
int64_t transpose(const Call& call, int64_t request, std::vector<float>& lanes) {
    const int32_t* recent = call.recent + request * call.length;
    int64_t there = 0;
    for (int64_t r = 0; r < call.length; ++r) {
        hr::check_size("recent", recent[r], -1, call.items - 1);
        there += recent[r] >= 0;
    }
    if (there == 0) return 0;
    const int64_t width = (there + 1 + hr::kClosenessLanes - 1) / hr::kClosenessLanes * hr::kClosenessLanes;
    lanes.assign(width * call.dim, 0.0f);
    int64_t lane = 1;
    for (int64_t r = 0; r < call.length; ++r) {
        if (recent[r] < 0) continue;
        const float* from = call.content + recent[r] * call.dim;
        for (int64_t d = 0; d < call.dim; ++d) {
            lanes[d * width + lane] = from[d];
            lanes[d * width] += from[d];
        }
        ++lane;
    }
    for (int64_t d = 0; d < call.dim; ++d) {
        float* row = lanes.data() + d * width;
        row[0] /= static_cast<float>(there);
        std::fill(row + lane, row + width, row[1]);
    }
    return width;
}

// Candidates first .. last - 1 of one request.
bool serve(const Call& call, const hr::ClosenessKernels& kernels, int64_t request, int64_t first, int64_t last) {
    thread_local std::vector<float> lanes;
    bool inside = true;
    for (int64_t i = first; i < last; ++i)
        inside &= static_cast<uint64_t>(call.item[i]) < static_cast<uint64_t>(call.items);
    expect(inside, "item: expected 0 to " + std::to_string(call.items - 1) + ", got another");
    const int64_t width = transpose(call, request, lanes);
    if (width == 0) {
        std::fill(call.out + first * 2, call.out + last * 2, 0.0f);
        return true;
    }
    return kernels.closeness(
        {call.content, call.dim, lanes.data(), width, call.item + first, last - first, call.out + first * 2});
}

}  // namespace

hr_status hr_closeness(const float* content, int64_t items, int64_t dim, const int32_t* recent, int64_t batch,
                       int64_t length, const int64_t* offsets, const int64_t* item, int64_t n, int threads,
                       float* out) {
    return hr::guarded([&] {
        expect(items >= 0 && dim >= 1 && dim < kMost / 16 && length >= 0 && length < kMost / 16 && batch >= 0 && n >= 0,
               "content: expected rows of at least 1 column");
        hr::check_offsets(offsets, batch, n);
        if (n == 0) return;
        hr::check_pointer("content", content, items > 0);
        hr::check_pointer("recent", recent, length > 0);
        hr::check_pointer("item", item);
        hr::check_pointer("out", out);
        const Call call{content, items, dim, recent, length, offsets, item, out};
        const hr::ClosenessKernels& kernels = kernels_in_use();
        const int64_t tasks = 1 + n / kCandidatesPerTask;
        std::atomic<bool> finite{true};
        // A task is a run of candidates, whichever requests they belong to.
        hr::parallel_for(tasks, hr::resolve_threads(threads), [&](int64_t task, int) {
            int64_t first = n * task / tasks;
            const int64_t end = n * (task + 1) / tasks;
            int64_t request = std::upper_bound(offsets, offsets + batch + 1, first) - offsets - 1;
            for (; first < end; ++request) {
                const int64_t last = std::min(end, offsets[request + 1]);
                if (last > first && !serve(call, kernels, request, first, last))
                    finite.store(false, std::memory_order_relaxed);
                first = std::max(first, last);
            }
        });
        expect(finite, "content: expected finite numbers and products, got NaN or infinity");
    });
}
