#include "beam_search/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "beam_search/kernels.h"
#include "core/dispatch.h"
#include "core/pool.h"
#include "core/status.h"

namespace {

using hr::kPanel;
using hr::Partial;

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();
constexpr int64_t kBlock = 16;  // parents scored together: enough to use the weights well, few enough to stop early

[[noreturn]] void bad(const std::string& message) { throw std::invalid_argument(message); }

void at_least(const char* name, int64_t value, int64_t least) {
    if (value < least)
        bad(std::string(name) + ": expected at least " + std::to_string(least) + ", got " + std::to_string(value));
}

void check_model(const hr_path_model& m) {
    at_least("depth", m.depth, 1);
    at_least("nodes", m.nodes, 1);
    at_least("user_dim", m.user_dim, 1);
    at_least("hidden", m.hidden, kPanel);
    if (m.hidden % kPanel) bad("hidden: expected a multiple of 8, got " + std::to_string(m.hidden));
    int64_t most = int64_t{1} << 62, size = 0;
    if (m.depth > 62) bad("depth: expected at most 62, got " + std::to_string(m.depth));
    for (int64_t d = 0; d < m.depth; ++d) most /= m.nodes;
    if (!most || m.nodes > std::numeric_limits<int32_t>::max()) bad("nodes: expected nodes^depth of at most 2^62");
    if (m.hidden > (int64_t{1} << 40) / m.nodes || __builtin_mul_overflow(m.hidden * m.depth, m.user_dim, &size))
        bad("hidden: expected sizes whose products fit 64 bits");
    if (!m.user_weight || !m.hidden_bias || !m.output_weight || !m.output_bias || (m.depth > 1 && !m.tables))
        bad("model: expected pointers, got null");
}

void check_users(const float* user, int64_t batch, int64_t width) {
    for (int64_t b = 0; b < batch; ++b)
        for (int64_t i = 0; i < width; ++i)
            if (!std::isfinite(user[b * width + i]))
                bad("user: expected finite numbers, got NaN or infinity in request " + std::to_string(b));
}

const hr::BeamKernels& kernels() {
    return hr::pick<hr::BeamKernels>(
        {&hr::beam_kernels_scalar, HR_X86(hr::beam_kernels_avx2), HR_X86(hr::beam_kernels_avx512)});
}

bool better(const Partial& a, const Partial& b) { return a.logp > b.logp || (a.logp == b.logp && a.code < b.code); }

// What one thread needs; it grows to the largest call and stays.
struct Scratch {
    std::vector<double> user, base, hidden, logits;
    std::vector<const double*> rows;
    std::vector<Partial> parents, found;
};

class Search {
  public:
    Search(const hr_path_model& model, const hr::BeamKernels& kernels, int64_t beam, Scratch& scratch)
        : m_(model), k_(kernels), beam_(beam), panels_((model.nodes + kPanel - 1) / kPanel), s_(scratch) {
        s_.user.resize(m_.user_dim);
        s_.base.resize(m_.hidden);
        s_.hidden.resize(kBlock * m_.hidden);
        s_.logits.resize(kBlock * panels_ * kPanel);
        s_.rows.resize(m_.depth);
    }

    const std::vector<Partial>& run(const float* user) {
        std::copy_n(user, m_.user_dim, s_.user.data());
        s_.parents.assign(1, {0.0, 0});
        for (int64_t d = 0; d < m_.depth; ++d) extend(d);
        return s_.parents;
    }

  private:
    // The best `beam` children of the parents, best first. Parents come best first and no child is better than its
    // parent, so the first parent below the worst of `beam` children ends the layer.
    void extend(int64_t d) {
        k_.affine(s_.user.data(), 1, m_.user_dim, m_.user_weight + d * m_.hidden * m_.user_dim,
                  m_.hidden_bias + d * m_.hidden, m_.hidden / kPanel, s_.base.data());
        found_ = 0;
        floor_ = kMinusInfinity;
        const auto count = static_cast<int64_t>(s_.parents.size());
        for (int64_t first = 0; first < count; first += kBlock) {
            int64_t rows = 0;
            while (rows < std::min(kBlock, count - first) && s_.parents[first + rows].logp >= floor_) ++rows;
            if (!rows) break;
            score(d, first, rows);
        }
        keep_best();
        std::sort(s_.found.begin(), s_.found.begin() + found_, better);
        s_.parents.assign(s_.found.begin(), s_.found.begin() + found_);
    }

    void score(int64_t d, int64_t first, int64_t rows) {
        for (int64_t r = 0; r < rows; ++r) fill_hidden(d, s_.parents[first + r].code, s_.hidden.data() + r * m_.hidden);
        const int64_t width = panels_ * kPanel;
        k_.affine(s_.hidden.data(), rows, m_.hidden, m_.output_weight + d * width * m_.hidden,
                  m_.output_bias + d * width, panels_, s_.logits.data());
        for (int64_t r = 0; r < rows; ++r) admit(s_.logits.data() + r * width, s_.parents[first + r]);
    }

    void fill_hidden(int64_t d, int64_t code, double* out) {
        const double* tables = m_.tables + d * (d - 1) / 2 * m_.nodes * m_.hidden;
        for (int64_t l = d - 1; l >= 0; --l, code /= m_.nodes)
            s_.rows[l] = tables + (l * m_.nodes + code % m_.nodes) * m_.hidden;
        k_.hidden(s_.base.data(), s_.rows.data(), d, m_.hidden, out);
    }

    void admit(const double* logits, Partial parent) {
        double peak = 0.0;
        const double sum = k_.sum_exp(logits, panels_, &peak);
        if (static_cast<int64_t>(s_.found.size()) < found_ + m_.nodes) s_.found.resize(found_ + m_.nodes);
        parent.code *= m_.nodes;
        found_ += k_.admit(logits, m_.nodes, peak + std::log(sum), parent, floor_, s_.found.data() + found_);
        if (found_ / 2 >= beam_) keep_best();
    }

    void keep_best() {
        if (found_ < beam_) return;
        std::nth_element(s_.found.begin(), s_.found.begin() + (beam_ - 1), s_.found.begin() + found_, better);
        found_ = beam_;
        floor_ = s_.found[beam_ - 1].logp;
    }

    const hr_path_model& m_;
    const hr::BeamKernels& k_;
    const int64_t beam_, panels_;
    Scratch& s_;
    int64_t found_ = 0;              // children held in s_.found
    double floor_ = kMinusInfinity;  // what a child needs at least
};

void write(const std::vector<Partial>& found, int64_t beam, int64_t depth, int64_t nodes, int32_t* paths, float* logp) {
    const auto count = static_cast<int64_t>(found.size());
    for (int64_t i = 0; i < count; ++i) {
        int64_t code = found[i].code;
        for (int64_t d = depth - 1; d >= 0; --d, code /= nodes)
            paths[i * depth + d] = static_cast<int32_t>(code % nodes);
        logp[i] = static_cast<float>(found[i].logp);
    }
    std::fill(paths + count * depth, paths + beam * depth, -1);
    std::fill(logp + count, logp + beam, -std::numeric_limits<float>::infinity());
}

}  // namespace

hr_status hr_beam_search(const hr_path_model* model, const float* user, int64_t batch, int64_t beam, int threads,
                         int32_t* paths, float* logp) {
    return hr::guarded([&] {
        if (!model) bad("model: expected a pointer, got null");
        check_model(*model);
        at_least("batch", batch, 0);
        at_least("beam", beam, 1);
        threads = hr::resolve_threads(threads);
        int64_t size = 0;
        if (__builtin_mul_overflow(batch, model->user_dim, &size) ||
            __builtin_mul_overflow(beam, model->depth, &size) || __builtin_mul_overflow(batch, size, &size))
            bad("batch, beam: expected sizes whose products fit 64 bits");
        if (!batch) return;
        if (!user || !paths || !logp) bad("user, paths, logp: expected pointers, got null");
        check_users(user, batch, model->user_dim);
        const hr::BeamKernels& chosen = kernels();
        hr::parallel_for(batch, threads, [&](int64_t b, int) {
            thread_local Scratch scratch;
            Search search(*model, chosen, beam, scratch);
            const std::vector<Partial>& found = search.run(user + b * model->user_dim);
            write(found, beam, model->depth, model->nodes, paths + b * beam * model->depth, logp + b * beam);
        });
    });
}
