#include "three_towers/three_towers.h"

#include <vector>

#include "core/checks.h"
#include "core/dispatch.h"
#include "core/pool.h"
#include "core/scratch.h"
#include "core/spans.h"
#include "core/status.h"
#include "three_towers/kernels.h"

namespace {

using hr::bad;

constexpr int64_t kLeast = 4 * hr::kMaxBlock, kMost = 16 * hr::kMaxBlock;
// Small enough that no product of them overflows.
constexpr int64_t kMaxWidth = 1 << 12, kMaxRows = int64_t{1} << 34;

void check_model(const hr_towers_model& m) {
    const struct {
        const char* name;
        int64_t value, least;
    } widths[] = {{"targets", m.targets, 1},
                  {"dim", m.dim, 1},
                  {"tower_units", m.tower_units, 1},
                  {"upper_units", m.upper_units, 1},
                  {"request_width", m.request_width, 0},
                  {"dynamic_width", m.dynamic_width, 0}};
    for (const auto& width : widths) hr::check_size(width.name, width.value, width.least, kMaxWidth);
    hr::check_size("items", m.items, 0, kMaxRows);
    hr::check_size("codes", m.codes, 0, kMaxRows);
    const bool request = m.tower_weight && m.request_weight, rows = m.item_rows, codes = m.code_rows;
    if ((!request && m.request_width) || (!rows && m.items) || (!codes && m.codes) ||
        (!m.dynamic_weight && m.dynamic_width) || !m.tower_bias || !m.vector_weight || !m.vector_bias ||
        !m.user_weight || !m.upper_bias || !m.upper_weight || !m.last_weight)
        bad("model: expected pointers, got null");
}

void check_call(const hr_towers_model& m, int64_t batch, const float* request, const hr_towers_candidates& c) {
    hr::check_size("batch", batch, 0, kMaxRows);
    hr::check_size("count", c.count, 0, kMaxRows);
    hr::check_size("fields", c.fields, 0, HR_TOWERS_MAX_FIELDS);
    if (!c.offsets) bad("offsets: expected a pointer, got null");
    hr::check_offsets(c.offsets, batch, c.count);
    if (batch && !request && m.request_width) bad("request: expected a pointer, got null");
    hr::check_finite("request", "request", request, batch, m.request_width);
    if (c.count && (!c.item || (!c.codes && c.fields) || (!c.dynamic && m.dynamic_width)))
        bad("candidates: expected pointers, got null");
}

const hr::TowersKernels& kernels() {
    return hr::pick<hr::TowersKernels>(
        {&hr::towers_kernels_scalar, HR_X86(hr::towers_kernels_avx2), HR_X86(hr::towers_kernels_avx512)});
}

float* scratch(const hr_towers_model& model) {
    thread_local hr::AlignedScratch numbers;
    return numbers.take(hr::towers_scratch(model));
}

// What is computed once for each request; it belongs to the calling thread and only grows.
struct Prepared {
    hr::AlignedScratch requests;
    std::vector<hr::Span> spans;
};

void serve(const hr_towers_model& m, const hr_towers_candidates& c, const hr::Span& span, float* request,
           const hr::TowersKernels& chosen, float* logits) {
    hr::TowersTask t{};
    t.request = hr::towers_request(m, request);
    t.item = c.item + span.first;
    t.codes = c.codes + span.first * c.fields;
    t.dynamic = c.dynamic + span.first * m.dynamic_width;
    t.fields = c.fields;
    t.count = span.count;
    t.stride = c.count;
    t.out = logits + span.first;
    hr::check_indices("item", t.item, t.count, m.items);
    hr::check_indices("codes", t.codes, t.count * t.fields, m.codes);
    hr::check_finite("dynamic", "candidate", t.dynamic, t.count, m.dynamic_width, span.first);
    chosen.candidates(m, t, scratch(m));
}

}  // namespace

hr_status hr_three_towers(const hr_towers_model* model, int64_t batch, const float* request,
                          const hr_towers_candidates* candidates, int threads, float* logits) {
    return hr::guarded([&] {
        if (!model || !candidates) bad("model, candidates: expected pointers, got null");
        check_model(*model);
        check_call(*model, batch, request, *candidates);
        const int used = hr::resolve_threads(threads);
        if (!candidates->count) return;
        if (!logits) bad("logits: expected a pointer, got null");
        thread_local Prepared prepared;
        std::vector<hr::Span>& spans = prepared.spans;
        const int64_t most = hr::span_size(candidates->count, used, kLeast, kMost);
        hr::cut_spans(candidates->offsets, batch, most, spans);
        const int64_t size = hr::towers_request_size(*model);
        float* requests = prepared.requests.take(batch * size);
        const hr::Span* span = spans.data();
        const hr::TowersKernels& chosen = kernels();
        hr::parallel_for(batch, used, [&](int64_t b, int) {
            const hr::TowersRequest out = hr::towers_request(*model, requests + b * size);
            chosen.request(*model, request + b * model->request_width, out, scratch(*model));
        });
        hr::parallel_for(static_cast<int64_t>(spans.size()), used, [&](int64_t task, int) {
            serve(*model, *candidates, span[task], requests + span[task].request * size, chosen, logits);
        });
    });
}
