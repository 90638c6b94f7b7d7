#include "network/network.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/checks.h"
#include "core/dispatch.h"
#include "core/pool.h"
#include "core/scratch.h"
#include "core/spans.h"
#include "core/status.h"
#include "network/check.h"
#include "network/pack.h"

namespace {

using hr::bad;

// A task takes some ten microseconds at least, or waking a thread for it costs more than it brings.
constexpr int64_t kProducts = 250'000, kMost = 16 * hr::kMaxBlock;
// Layers that go on with each other's sums without storing them, as long as so much of their inputs is there.
constexpr int64_t kRounded = 2;
// Of a request, so that those of a batch can be counted.
constexpr int64_t kMaxKept = 1 << 26;

const hr::NetworkKernels& kernels(bool rounded) {
    using Tables = hr::Tables<hr::NetworkKernels>;
    if (!rounded)
        return hr::pick(
            Tables{&hr::network_kernels_scalar, HR_X86(hr::network_kernels_avx2), HR_X86(hr::network_kernels_avx512)});
    Tables tables{&hr::network_rounded_scalar, HR_X86(hr::network_rounded_avx2), HR_X86(hr::network_rounded_avx512)};
    tables.avx512bf16 = HR_X86(hr::network_rounded_avx512bf16);
    // Its columns are rounded by AVX-512, which no processor with tiles lacks; but nothing says so.
    if (hr::cpu_has_avx512_bf16()) tables.amx = HR_X86(hr::network_rounded_amx);
    return hr::pick(tables);
}

int64_t least_candidates(int64_t products) {
    const int64_t blocks = kProducts / (hr::kMaxBlock * (products + 1));
    return hr::kMaxBlock * std::clamp<int64_t>(blocks, 1, kMost / hr::kMaxBlock);
}

void check_stage_sizes(const char* name, const hr_network_stage& s, int64_t least) {
    const std::string stage = name;
    hr::check_size((stage + ".steps").c_str(), s.steps, 0, hr::kMaxSteps);
    hr::check_size((stage + ".columns").c_str(), s.columns, 0, hr::kMaxColumns);
    hr::check_size((stage + ".width").c_str(), s.width, least, hr::kMaxColumns);
    hr::check_size((stage + ".out").c_str(), s.out, 0, hr::kMaxColumns);
    if (s.steps && !s.code) bad(stage + ".code: expected a pointer, got null");
}

void check_program(const hr_network_program& p, const hr_network_requests& r) {
    check_stage_sizes("request", p.request, 0);
    check_stage_sizes("pair", p.pair, 1);
    hr::check_size("weights", p.weight_count, 0, hr::kMaxRows);
    hr::check_size("items", p.items, 0, hr::kMaxRows);
    hr::check_size("codes", p.codes, 0, hr::kMaxRows);
    hr::check_size("item_width", p.item_width, 0, hr::kMaxWidth);
    hr::check_size("code_width", p.code_width, 0, hr::kMaxWidth);
    hr::check_size("request_inputs", p.request_inputs, 0, hr::kMaxWidth);
    hr::check_size("pair_inputs", p.pair_inputs, 0, hr::kMaxWidth);
    if ((!p.weights && p.weight_count) || (!p.item_rows && p.items && p.item_width) ||
        (!p.code_rows && p.codes && p.code_width))
        bad("program: expected pointers, got null");
    hr::check_size("sequences", r.sequence_count, 0, hr::kMaxSteps);
    if (r.sequence_count && !r.sequences) bad("sequences: expected a pointer, got null");
    for (int64_t s = 0; s < r.sequence_count; ++s) {
        hr::check_size("sequences: width", r.sequences[s].width, 0, hr::kMaxWidth);
        hr::check_size("sequences: longest", r.sequences[s].longest, 0, hr::kMaxWidth);
    }
}

void check_requests(const hr_network_program& p, const hr_network_requests& r) {
    if (!r.batch) return;
    if (!r.inputs && p.request_inputs) bad("request: expected a pointer, got null");
    hr::check_finite("request", "request", r.inputs, r.batch, p.request_inputs);
    for (int64_t s = 0; s < r.sequence_count; ++s) {
        const hr_network_sequence& sequence = r.sequences[s];
        if (!sequence.counts || (!sequence.entries && sequence.longest && sequence.width))
            bad("sequences: expected pointers, got null");
        hr::check_indices("counts", sequence.counts, r.batch, sequence.longest + 1);
        hr::check_finite("sequences", "request", sequence.entries, r.batch, sequence.longest * sequence.width);
    }
}

void check_candidates(const hr_network_program& p, const hr_network_requests& r, const hr_network_candidates& c) {
    hr::check_size("batch", r.batch, 0, hr::kMaxRows);
    hr::check_size("count", c.count, 0, hr::kMaxRows);
    hr::check_size("fields", c.fields, 0, HR_NETWORK_MAX_FIELDS);
    if (!c.offsets) bad("offsets: expected a pointer, got null");
    hr::check_offsets(c.offsets, r.batch, c.count);
    if (c.count && (!c.item || (!c.codes && c.fields) || (!c.inputs && p.pair_inputs)))
        bad("candidates: expected pointers, got null");
}

// What a call works in; it belongs to the calling thread and only grows.
struct Prepared {
    hr::AlignedScratch kept;
    std::vector<hr::Span> spans;
    std::vector<hr::NetworkStep> request, pair;
    std::vector<char> written;
};

hr::NetworkPlan make_plan(const hr_network_program& p, const hr_network_requests& r, Prepared& prepared) {
    check_program(p, r);
    const hr::NetworkNeeds request =
        hr::check_stage(p, r, false, p.request.columns, prepared.request, prepared.written);
    const hr::NetworkNeeds pair = hr::check_stage(p, r, true, request.prepared, prepared.pair, prepared.written);
    if (p.packed && p.packed_count != pair.packed)
        bad("packed: expected " + std::to_string(pair.packed) + " numbers, got " + std::to_string(p.packed_count));
    // Whole cache lines, so that every request begins one.
    const int64_t size = (pair.prepared + 15) / 16 * 16;
    hr::check_size("sequences: numbers of a request", size, 0, kMaxKept);
    return {&p,
            &r,
            {prepared.request.data(), p.request.steps},
            {prepared.pair.data(), p.pair.steps},
            size,
            std::max(request.extra, pair.extra),
            p.packed ? kRounded * pair.inputs : 0,
            least_candidates(pair.products)};
}

float* scratch(int64_t count) {
    thread_local hr::AlignedScratch numbers;
    return numbers.take(count);
}

void serve(const hr::NetworkPlan& plan, const hr_network_candidates& c, const hr::Span& span, float* kept,
           const hr::NetworkKernels& chosen, float* logits) {
    const hr_network_program& p = *plan.program;
    const hr::NetworkTask task{span.request,
                               kept,
                               c.item + span.first,
                               c.codes + span.first * c.fields,
                               c.inputs + span.first * p.pair_inputs,
                               c.fields,
                               span.count,
                               c.count,
                               logits + span.first};
    hr::check_indices("item", task.item, task.count, p.items);
    hr::check_indices("codes", task.codes, task.count * task.fields, p.codes);
    hr::check_finite("pair", "candidate", task.inputs, task.count, p.pair_inputs, span.first);
    chosen.candidates(plan, task, scratch((p.pair.columns + plan.extra + plan.rounded) * hr::kMaxBlock));
}

}  // namespace

void hr::run_network(const hr_network_program& program, const hr_network_requests& requests,
                     const hr_network_candidates& candidates, int threads, float* logits,
                     const NetworkKernels& chosen) {
    thread_local Prepared prepared;
    const NetworkPlan plan = make_plan(program, requests, prepared);
    check_candidates(program, requests, candidates);
    check_requests(program, requests);
    const int used = resolve_threads(threads);
    if (!candidates.count) return;
    if (!logits) bad("logits: expected a pointer, got null");
    std::vector<Span>& spans = prepared.spans;
    const int64_t most = span_size(candidates.count, used, plan.least, kMost);
    cut_spans(candidates.offsets, requests.batch, most, spans);
    float* kept = prepared.kept.take(requests.batch * plan.request_size);
    const Span* span = spans.data();
    parallel_for(requests.batch, used,
                 [&](int64_t b, int) { chosen.request(plan, b, kept + b * plan.request_size, scratch(plan.extra)); });
    parallel_for(static_cast<int64_t>(spans.size()), used, [&](int64_t task, int) {
        serve(plan, candidates, span[task], kept + span[task].request * plan.request_size, chosen, logits);
    });
}

hr_status hr_network(const hr_network_program* program, const hr_network_requests* requests,
                     const hr_network_candidates* candidates, int threads, float* logits) {
    return hr::guarded([&] {
        if (!program || !requests || !candidates) bad("program, requests, candidates: expected pointers, got null");
        hr::run_network(*program, *requests, *candidates, threads, logits, kernels(program->packed));
    });
}
