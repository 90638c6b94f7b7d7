#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "beam_search/beam_search.h"
#include "check.h"

namespace {

struct Model {
    hr_path_model view{};
    std::vector<double> user_weight, hidden_bias, tables, output_weight, output_bias;

    Model(int64_t depth, int64_t nodes, int64_t user_dim, int64_t hidden) {
        std::mt19937 random(7);
        std::normal_distribution<double> normal;
        const int64_t padded = (nodes + 7) / 8 * 8;
        auto fill = [&](std::vector<double>& v, int64_t n) {
            v.resize(n);
            for (double& x : v) x = normal(random);
        };
        fill(user_weight, depth * hidden * user_dim);
        fill(hidden_bias, depth * hidden);
        fill(tables, depth * (depth - 1) / 2 * nodes * hidden);
        fill(output_weight, depth * padded * hidden);
        fill(output_bias, depth * padded);
        for (int64_t d = 0; d < depth; ++d)
            for (int64_t c = nodes; c < padded; ++c)
                output_bias[d * padded + c] = -std::numeric_limits<double>::infinity();
        view = {depth,
                nodes,
                user_dim,
                hidden,
                user_weight.data(),
                hidden_bias.data(),
                tables.data(),
                output_weight.data(),
                output_bias.data()};
    }

    // log p(c | user, path) from the layout that the header describes.
    std::vector<double> steps(const float* user, const std::vector<int64_t>& path) const {
        const auto d = static_cast<int64_t>(path.size());
        const int64_t h_count = view.hidden, k = view.nodes, padded = (k + 7) / 8 * 8;
        std::vector<double> hidden(h_count), logits(k);
        for (int64_t h = 0; h < h_count; ++h) {
            double sum = hidden_bias[d * h_count + h];
            for (int64_t i = 0; i < view.user_dim; ++i)
                sum += user_weight[d * h_count * view.user_dim + (h / 8 * view.user_dim + i) * 8 + h % 8] * user[i];
            for (int64_t l = 0; l < d; ++l) sum += tables[((d * (d - 1) / 2 + l) * k + path[l]) * h_count + h];
            hidden[h] = sum > 0 ? sum : 0;
        }
        double total = 0;
        for (int64_t c = 0; c < k; ++c) {
            logits[c] = output_bias[d * padded + c];
            for (int64_t h = 0; h < h_count; ++h)
                logits[c] += output_weight[d * padded * h_count + (c / 8 * h_count + h) * 8 + c % 8] * hidden[h];
            total += std::exp(logits[c]);
        }
        for (double& x : logits) x -= std::log(total);
        return logits;
    }
};

void check_found_are_probable(int level, int threads) {
    CHECK(hr_set_isa(level) == HR_OK);
    const Model model(3, 11, 5, 16);
    const int64_t batch = 7, beam = 21;
    std::vector<float> user(batch * 5);
    for (size_t i = 0; i < user.size(); ++i) user[i] = std::sin(static_cast<float>(i));
    std::vector<int32_t> paths(batch * beam * 3, 77);
    std::vector<float> logp(batch * beam, NAN);
    CHECK(hr_beam_search(&model.view, user.data(), batch, beam, threads, paths.data(), logp.data()) == HR_OK);
    for (int64_t b = 0; b < batch; ++b)
        for (int64_t i = 0; i < beam; ++i) {
            const int32_t* path = &paths[(b * beam + i) * 3];
            std::vector<int64_t> prefix;
            double expected = 0;
            for (int d = 0; d < 3; ++d) {
                CHECK(path[d] >= 0 && path[d] < 11);
                expected += model.steps(&user[b * 5], prefix)[path[d]];
                prefix.push_back(path[d]);
            }
            CHECK(std::abs(logp[b * beam + i] - expected) <= 1e-6 * std::abs(expected));
            CHECK(i == 0 || logp[b * beam + i] <= logp[b * beam + i - 1]);
        }
}

void check_short_results() {
    const Model model(2, 3, 1, 8);
    const float user[1] = {0.5f};
    std::vector<int32_t> paths(20 * 2, 77);
    std::vector<float> logp(20, NAN);
    CHECK(hr_beam_search(&model.view, user, 1, 20, 1, paths.data(), logp.data()) == HR_OK);
    double total = 0;
    for (int i = 0; i < 9; ++i) total += std::exp(logp[i]);
    CHECK(std::abs(total - 1) < 1e-6);
    for (int i = 9; i < 20; ++i) CHECK(paths[i * 2] == -1 && paths[i * 2 + 1] == -1 && std::isinf(logp[i]));
}

void check_refusals() {
    const Model good(2, 3, 1, 8);
    float user[1] = {0.5f};
    int32_t paths[8];
    float logp[4];
    auto refused = [&](const hr_path_model& model, int64_t batch, int64_t beam, const char* word) {
        return hr_beam_search(&model, user, batch, beam, 1, paths, logp) == HR_INVALID &&
               std::strstr(hr_last_error(), word) != nullptr;
    };
    CHECK(hr_beam_search(nullptr, user, 1, 4, 1, paths, logp) == HR_INVALID);
    CHECK(hr_beam_search(&good.view, nullptr, 1, 4, 1, paths, logp) == HR_INVALID);
    CHECK(hr_beam_search(&good.view, nullptr, 0, 4, 1, nullptr, nullptr) == HR_OK);
    CHECK(refused(good.view, -1, 4, "batch"));
    CHECK(refused(good.view, 1, 0, "beam"));
    CHECK(refused(good.view, int64_t{1} << 40, int64_t{1} << 40, "64 bits"));
    auto changed = [&](auto&& change) {
        hr_path_model model = good.view;
        change(model);
        return model;
    };
    CHECK(refused(changed([](auto& m) { m.depth = 0; }), 1, 4, "depth"));
    CHECK(refused(changed([](auto& m) { m.depth = 63; }), 1, 4, "depth"));
    CHECK(refused(changed([](auto& m) { m.depth = 60; }), 1, 4, "2^62"));
    CHECK(refused(changed([](auto& m) { m.nodes = 0; }), 1, 4, "nodes"));
    CHECK(refused(changed([](auto& m) { m.user_dim = 0; }), 1, 4, "user_dim"));
    CHECK(refused(changed([](auto& m) { m.user_dim = int64_t{1} << 60; }), 1, 4, "64 bits"));
    CHECK(refused(changed([](auto& m) { m.hidden = 12; }), 1, 4, "multiple of 8"));
    CHECK(refused(changed([](auto& m) { m.hidden = int64_t{1} << 60; }), 1, 4, "64 bits"));
    CHECK(refused(changed([](auto& m) { m.tables = nullptr; }), 1, 4, "null"));
    user[0] = NAN;
    CHECK(refused(good.view, 1, 4, "request 0"));
}

}  // namespace

int main() {
    for (int level = HR_ISA_SCALAR; level <= HR_ISA_AVX512; ++level)
        if (hr_isa_usable(level))
            for (int threads = 1; threads <= 3; ++threads) check_found_are_probable(level, threads);
    check_short_results();
    check_refusals();
    return report("beam_search");
}
