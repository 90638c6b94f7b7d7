#include "mixture_of_experts/mixture_of_experts.h"

#include <cmath>
#include <vector>

#include "core/checks.h"
#include "core/dispatch.h"
#include "core/pool.h"
#include "core/scratch.h"
#include "core/spans.h"
#include "core/status.h"
#include "mixture_of_experts/kernels.h"

namespace {

using hr::bad;

constexpr int64_t kLeast = hr::kMaxBlock, kMost = 16 * hr::kMaxBlock;
// Small enough that no product of them overflows.
constexpr int64_t kMaxWidth = 1 << 12, kMaxRows = int64_t{1} << 34;

void check_model(const hr_mixture_model& m) {
    const struct {
        const char* name;
        int64_t value, least;
    } widths[] = {{"targets", m.targets, 1},
                  {"experts", m.experts, 1},
                  {"hidden", m.hidden, 1},
                  {"units", m.units, 1},
                  {"head_units", m.head_units, 1},
                  {"dim", m.dim, 1},
                  {"request_width", m.request_width, 0},
                  {"dynamic_width", m.dynamic_width, 0}};
    for (const auto& width : widths) hr::check_size(width.name, width.value, width.least, kMaxWidth);
    hr::check_size("attention", m.attention, 0, 1);
    hr::check_size("items", m.items, 0, kMaxRows);
    hr::check_size("codes", m.codes, 0, kMaxRows);
    if ((!m.request_weight && m.request_width) || (!m.item_rows && m.items) || (!m.code_rows && m.codes) ||
        !m.candidate_weight || !m.expert_weight || !m.expert_bias || !m.head_weight || !m.head_bias || !m.out_weight ||
        !m.out_bias)
        bad("model: expected pointers, got null");
}

void check_requests(const hr_mixture_model& m, const hr_mixture_requests& r) {
    hr::check_size("batch", r.batch, 0, kMaxRows);
    hr::check_size("longest", r.longest, 0, kMaxWidth);
    if (!r.batch) return;
    if ((!r.inputs && m.request_width) || !r.taste) bad("requests: expected pointers, got null");
    hr::check_finite("inputs", "request", r.inputs, r.batch, m.request_width);
    hr::check_finite("taste", "request", r.taste, r.batch, m.dim);
    if (!m.attention) return;
    if ((!r.behaviours && r.longest) || !r.counts) bad("behaviours, counts: expected pointers, got null");
    hr::check_finite("behaviours", "request", r.behaviours, r.batch, r.longest * m.dim);
    hr::check_indices("counts", r.counts, r.batch, r.longest + 1);
}

void check_candidates(const hr_mixture_model& m, const hr_mixture_requests& r, const hr_mixture_candidates& c) {
    if (!c.offsets) bad("offsets: expected a pointer, got null");
    hr::check_size("count", c.count, 0, kMaxRows);
    hr::check_offsets(c.offsets, r.batch, c.count);
    hr::check_size("fields", c.fields, 0, HR_MIXTURE_MAX_FIELDS);
    if (c.count && (!c.item || (!c.codes && c.fields) || (!c.dynamic && m.dynamic_width)))
        bad("candidates: expected pointers, got null");
}

const hr::MixtureKernels& kernels() {
    return hr::pick<hr::MixtureKernels>(
        {&hr::mixture_kernels_scalar, HR_X86(hr::mixture_kernels_avx2), HR_X86(hr::mixture_kernels_avx512)});
}

// What is computed once for each request; it belongs to the calling thread and only grows.
struct Prepared {
    hr::AlignedScratch rows, keys;
    std::vector<hr::Span> spans;
};

class Call {
  public:
    Call(const hr_mixture_model& model, const hr_mixture_requests& requests, const hr_mixture_candidates& candidates,
         int threads, Prepared& prepared)
        : m_(model),
          r_(requests),
          c_(candidates),
          k_(kernels()),
          width_(hr::MixtureRow(model).width),
          rows_(prepared.rows.take(requests.batch * width_)),
          keys_(prepared.keys.take(requests.batch * key_size())),
          spans_(prepared.spans) {
        hr::cut_spans(c_.offsets, r_.batch, hr::span_size(c_.count, threads, kLeast, kMost), spans_);
    }

    int64_t tasks() const { return static_cast<int64_t>(spans_.size()); }

    void request(int64_t b) {
        k_.row(r_.inputs + b * m_.request_width, m_.request_width, m_.request_weight, width_, rows_ + b * width_);
        if (!m_.attention) return;
        const float scale = static_cast<float>(1 / std::sqrt(static_cast<double>(m_.dim)));
        const float* behaviours = r_.behaviours + b * key_size();
        float* keys = keys_ + b * key_size();
        for (int64_t n = 0; n < r_.counts[b]; ++n)
            for (int64_t k = 0; k < m_.dim; ++k) keys[k * r_.counts[b] + n] = behaviours[n * m_.dim + k] * scale;
    }

    void candidates(int64_t task, float* logits) const {
        const hr::Span span = spans_[task];
        const int64_t b = span.request, first = span.first;
        hr::MixtureTask t{};
        t.request = {rows_ + b * width_, r_.taste + b * m_.dim, nullptr, nullptr, 0};
        if (m_.attention) {
            t.request.behaviours = r_.behaviours + b * key_size();
            t.request.keys = keys_ + b * key_size();
            t.request.count = r_.counts[b];
        }
        t.item = c_.item + first;
        t.codes = c_.codes + first * c_.fields;
        t.dynamic = c_.dynamic + first * m_.dynamic_width;
        t.fields = c_.fields;
        t.count = span.count;
        t.stride = c_.count;
        t.out = logits + first;
        hr::check_indices("item", t.item, t.count, m_.items);
        hr::check_indices("codes", t.codes, t.count * t.fields, m_.codes);
        hr::check_finite("dynamic", "candidate", t.dynamic, t.count, m_.dynamic_width, first);
        thread_local hr::AlignedScratch scratch;
        k_.candidates(m_, t, scratch.take(hr::mixture_columns(m_, m_.attention ? r_.longest : 0) * hr::kMaxBlock));
    }

  private:
    int64_t key_size() const { return m_.attention ? r_.longest * m_.dim : 0; }

    const hr_mixture_model& m_;
    const hr_mixture_requests& r_;
    const hr_mixture_candidates& c_;
    const hr::MixtureKernels& k_;
    const int64_t width_;
    float *const rows_, *const keys_;
    std::vector<hr::Span>& spans_;
};

}  // namespace

hr_status hr_mixture_of_experts(const hr_mixture_model* model, const hr_mixture_requests* requests,
                                const hr_mixture_candidates* candidates, int threads, float* logits) {
    return hr::guarded([&] {
        if (!model || !requests || !candidates) bad("model, requests, candidates: expected pointers, got null");
        check_model(*model);
        check_requests(*model, *requests);
        check_candidates(*model, *requests, *candidates);
        const int used = hr::resolve_threads(threads);
        if (!candidates->count) return;
        if (!logits) bad("logits: expected a pointer, got null");
        thread_local Prepared prepared;
        Call call(*model, *requests, *candidates, used, prepared);
        hr::parallel_for(requests->batch, used, [&](int64_t b, int) { call.request(b); });
        hr::parallel_for(call.tasks(), used, [&](int64_t task, int) { call.candidates(task, logits); });
    });
}
