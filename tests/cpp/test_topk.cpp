#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "core/cpu.h"
#include "topk/packed.h"
#include "topk/topk.h"

#if HEADRACE_X86
namespace hr {
extern const PackedKernels packed_int8_avxvnni_evex;  // built for this test alone
}
#endif

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr double kNone = -std::numeric_limits<double>::infinity();

// Small integers: every sum is exact, so ties are ties and the brute force needs no care.
std::vector<float> integers(int64_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<float> values(static_cast<size_t>(n));
    for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 7) - 3);
    return values;
}

struct Answer {
    std::vector<double> scores;
    std::vector<int64_t> ids;
    Answer(int64_t n_queries, int64_t k)
        : scores(static_cast<size_t>(n_queries * k), kNan), ids(static_cast<size_t>(n_queries * k), -7) {}
    bool operator==(const Answer&) const = default;
};

struct Case {
    int64_t n_queries, n_items, dim, k;
    std::vector<float> queries, items;
    std::vector<uint64_t> mask;
    int64_t stride = 0;

    Case(int64_t b, int64_t n, int64_t d, int64_t kk)
        : n_queries(b), n_items(n), dim(d), k(kk), queries(integers(b * d, 1)), items(integers(n * d, 2)) {}

    void mask_at_random(bool per_query) {
        std::mt19937_64 random(3);
        stride = per_query ? (n_items + 63) / 64 : 0;
        mask.resize(static_cast<size_t>((n_items + 63) / 64 * (per_query ? n_queries : 1)));
        for (uint64_t& word : mask) word = random() & random();
    }
    bool allowed(int64_t query, int64_t row) const {
        return mask.empty() || (mask[static_cast<size_t>(query * stride + row / 64)] >> (row % 64) & 1);
    }
    Answer brute_force(bool l2) const {
        Answer answer(n_queries, k);
        for (int64_t b = 0; b < n_queries; ++b) {
            std::vector<std::pair<double, int64_t>> ranked;  // minus the score, row
            for (int64_t row = 0; row < n_items; ++row) {
                double sum = 0;
                for (int64_t j = 0; j < dim; ++j) {
                    const double q = queries[static_cast<size_t>(b * dim + j)];
                    const double x = items[static_cast<size_t>(row * dim + j)];
                    sum += l2 ? (q - x) * (q - x) : -q * x;
                }
                if (allowed(b, row)) ranked.emplace_back(sum, row);
            }
            std::sort(ranked.begin(), ranked.end());
            for (int64_t i = 0; i < k; ++i) {
                const auto at = static_cast<size_t>(b * k + i);
                const bool there = i < static_cast<int64_t>(ranked.size());
                answer.scores[at] = there ? -ranked[static_cast<size_t>(i)].first : kNone;
                answer.ids[at] = there ? ranked[static_cast<size_t>(i)].second : -1;
            }
        }
        return answer;
    }
    hr_status run(int metric, int threads, Answer& out) const {
        return hr_topk(queries.data(), n_queries, items.data(), n_items, dim, k, metric,
                       mask.empty() ? nullptr : mask.data(), stride, threads, out.scores.data(), out.ids.data());
    }
};

void check_case(const Case& problem) {
    for (int level = HR_ISA_SCALAR; level <= HR_ISA_AMX; ++level) {
        if (!hr_isa_usable(level)) continue;
        CHECK(hr_set_isa(level) == HR_OK);
        for (int metric : {HR_METRIC_IP, HR_METRIC_L2}) {
            const Answer expected = problem.brute_force(metric == HR_METRIC_L2);
            for (int threads : {1, 2, 3}) {
                Answer out(problem.n_queries, problem.k);
                CHECK(problem.run(metric, threads, out) == HR_OK);
                CHECK(out == expected);
            }
        }
    }
}

void answers_equal_a_brute_force() {
    for (auto [b, n, d, k] : std::vector<std::array<int64_t, 4>>{
             {1, 1, 1, 1}, {2, 0, 3, 4}, {3, 65, 7, 100}, {5, 1000, 17, 9}, {13, 700, 33, 300}, {200, 97, 5, 3}})
        check_case(Case(b, n, d, k));
}

void masks_are_obeyed() {
    for (bool per_query : {false, true}) {
        Case problem(9, 1111, 6, 40);
        problem.mask_at_random(per_query);
        check_case(problem);
    }
}

// The arrays are exactly as long as they must be: the sanitizer sees any reading beyond.
void cosine_of_awkward_vectors() {
    Case problem(4, 300, 19, 20);
    std::fill_n(problem.items.begin() + 19 * 5, 19, 0.0f);
    std::fill_n(problem.items.begin() + 19 * 9, 19, 1e-38f);
    std::fill_n(problem.items.begin() + 19 * 11, 19, 3e38f);
    Answer one(4, 20), three(4, 20);
    CHECK(problem.run(HR_METRIC_COSINE, 1, one) == HR_OK);
    CHECK(problem.run(HR_METRIC_COSINE, 3, three) == HR_OK);
    CHECK(one == three);
}

// A packed catalogue on the boundary that the interface asks for, and no longer than it says.
class Catalogue {
  public:
    Catalogue(const Case& problem, int metric, int scan, bool alone = false)
        : problem_(problem), metric_(metric), scan_(scan), alone_(alone) {
        CHECK(hr_topk_packed_bytes(problem.n_items, problem.dim, metric, scan, &bytes_) == HR_OK);
        data_ = std::aligned_alloc(64, static_cast<size_t>(bytes_ ? bytes_ : 64));
        CHECK(hr_topk_pack(problem.items.data(), problem.n_items, problem.dim, metric, scan, alone, 2, data_) == HR_OK);
    }
    Catalogue(const Catalogue&) = delete;
    ~Catalogue() { std::free(data_); }
    hr_status run(int threads, Answer& out, hr_topk_counts* counts) const {
        return hr_topk_packed(problem_.queries.data(), problem_.n_queries, alone_ ? nullptr : problem_.items.data(),
                              data_, problem_.n_items, problem_.dim, problem_.k, metric_, scan_,
                              problem_.mask.empty() ? nullptr : problem_.mask.data(), problem_.stride, threads,
                              out.scores.data(), out.ids.data(), counts);
    }
    const std::byte* data() const { return static_cast<const std::byte*>(data_); }

  private:
    const Case& problem_;
    int metric_, scan_;
    bool alone_;
    int64_t bytes_ = 0;
    void* data_ = nullptr;
};

void check_packed(const Case& problem) {
    for (int scan : {HR_SCAN_BFLOAT16, HR_SCAN_INT8})
        for (int metric : {HR_METRIC_IP, HR_METRIC_L2}) {
            const Answer expected = problem.brute_force(metric == HR_METRIC_L2);
            const Catalogue catalogue(problem, metric, scan);
            for (int level = HR_ISA_SCALAR; level <= HR_ISA_AMX; ++level) {
                if (!hr_isa_usable(level)) continue;
                CHECK(hr_set_isa(level) == HR_OK);
                for (int threads : {1, 3}) {
                    Answer out(problem.n_queries, problem.k);
                    hr_topk_counts counts{};
                    CHECK(catalogue.run(threads, out, &counts) == HR_OK);
                    CHECK(out == expected);
                    CHECK(counts.rescored >= 0 && counts.widened >= 0);
                }
            }
        }
}

// Packed numbers alone answer as the vectors that they stand for, which packing changes no further.
void packed_numbers_decide_alone() {
    for (bool masked : {false, true}) {
        Case problem(9, 1111, 7, 40);
        if (masked) problem.mask_at_random(true);
        std::vector<int32_t> rows(static_cast<size_t>(problem.n_items));
        for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
        for (int scan : {HR_SCAN_BFLOAT16, HR_SCAN_INT8})
            for (int metric : {HR_METRIC_IP, HR_METRIC_L2}) {
                Case stands_for = problem;
                const auto unpack = [&](const Catalogue& catalogue, std::vector<float>& out) {
                    CHECK(hr_topk_unpack(catalogue.data(), problem.n_items, problem.dim, metric, scan, rows.data(),
                                         problem.n_items, 2, out.data()) == HR_OK);
                };
                unpack(Catalogue(problem, metric, scan), stands_for.items);
                Catalogue alone(stands_for, metric, scan, true);
                std::vector<float> again(stands_for.items.size());
                unpack(alone, again);
                CHECK(again == stands_for.items);
                for (int threads : {1, 3}) {
                    Answer out(problem.n_queries, problem.k);
                    hr_topk_counts counts{};
                    CHECK(alone.run(threads, out, &counts) == HR_OK);
                    CHECK(out == stands_for.brute_force(metric == HR_METRIC_L2));
                }
            }
    }
    const Case problem(1, 70, 4, 3);
    const Catalogue catalogue(problem, HR_METRIC_IP, HR_SCAN_INT8);
    std::vector<float> out(4);
    for (int32_t row : {-1, 70})
        CHECK(hr_topk_unpack(catalogue.data(), 70, 4, 0, HR_SCAN_INT8, &row, 1, 1, out.data()) == HR_INVALID);
    CHECK(hr_topk_unpack(nullptr, 70, 4, 0, HR_SCAN_INT8, nullptr, 0, 1, nullptr) == HR_INVALID);
}

void packed_catalogues_answer_alike() {
    for (auto [b, n, d, k] : std::vector<std::array<int64_t, 4>>{
             {1, 1, 1, 1}, {2, 0, 3, 4}, {3, 65, 7, 100}, {5, 1000, 17, 9}, {13, 700, 33, 300}, {200, 97, 5, 3}})
        check_packed(Case(b, n, d, k));
    for (bool per_query : {false, true}) {
        Case problem(9, 1111, 6, 40);
        problem.mask_at_random(per_query);
        check_packed(problem);
    }
}

// Every table that this machine can run, also those that its dispatch passes over, against the plainest one.
void every_packed_scan_gives_the_same_scores() {
    struct Table {
        int scan;
        const hr::PackedKernels* kernels;
    };
    std::vector<Table> tables{{HR_SCAN_BFLOAT16, &hr::packed_bfloat16_scalar}, {HR_SCAN_INT8, &hr::packed_int8_scalar}};
#if HEADRACE_X86
    if (hr_isa_usable(HR_ISA_AVX2)) {
        tables.push_back({HR_SCAN_BFLOAT16, &hr::packed_bfloat16_avx2});
        tables.push_back({HR_SCAN_INT8, &hr::packed_int8_avx2});
    }
    if (hr_isa_usable(HR_ISA_AVX512)) {
        tables.push_back({HR_SCAN_BFLOAT16, &hr::packed_bfloat16_avx512});
        tables.push_back({HR_SCAN_INT8, &hr::packed_int8_avx512});
    }
    if (hr::cpu_has_avx_vnni()) tables.push_back({HR_SCAN_INT8, &hr::packed_int8_avxvnni});
    if (hr::cpu_has_avx512_vnni()) tables.push_back({HR_SCAN_INT8, &hr::packed_int8_avxvnni_evex});
    if (hr::cpu_has_avx512_bf16()) tables.push_back({HR_SCAN_BFLOAT16, &hr::packed_bfloat16_avx512bf16});
    if (hr::cpu_has_avx512_vnni()) tables.push_back({HR_SCAN_INT8, &hr::packed_int8_avx512vnni});
#endif
    const Case problem(1, 256, 29, 1);
    for (int metric : {HR_METRIC_IP, HR_METRIC_L2})
        for (const Table& table : tables) {
            const Catalogue catalogue(problem, metric, table.scan);
            const hr::PackedLayout layout{256, 29, static_cast<hr_scan>(table.scan), static_cast<hr_metric>(metric)};
            const std::vector<double> values(problem.queries.begin(), problem.queries.begin() + 29);
            for (int group = 1; group <= table.kernels->max_group; ++group) {
                std::vector<uint32_t> words(static_cast<size_t>(query_words(layout, *table.kernels) * group));
                hr::PackedVector vector{};
                for (int m = 0; m < group; ++m)
                    vector = pack_query(layout, *table.kernels, values.data(), m, group, words.data());
                const std::vector<float> scales(static_cast<size_t>(group), vector.scale);
                const std::vector<int32_t> starts(static_cast<size_t>(group), vector.start);
                const std::vector<float> limits(static_cast<size_t>(group), -1e30f);
                std::vector<uint32_t> allowed(8, 0xffffffffu);
                allowed[3] = 0x80000001u;
                const hr::PackedTile tile{
                    catalogue.data() + 64, layout.panel_bytes(), layout.steps(), allowed.data(), 8, 0};
                std::vector<float> scores(static_cast<size_t>(group) * 300);
                std::vector<int32_t> rows(scores.size());
                std::vector<hr::Sink> sinks;
                for (int m = 0; m < group; ++m) sinks.push_back({{&scores[m * 300u], &rows[m * 300u], 0}, nullptr});
                const auto scan = metric == HR_METRIC_L2 ? table.kernels->scan_shifted : table.kernels->scan;
                scan(tile, {words.data(), scales.data(), starts.data(), group}, limits.data(), sinks.data());
                for (const hr::Sink& sink : sinks) {
                    CHECK(sink.survivors.count == 256 - 30);
                    for (int64_t i = 0; i < sink.survivors.count; ++i) {
                        double score = 0;
                        for (size_t j = 0; j < 29; ++j) {
                            const double x = problem.items[static_cast<size_t>(sink.survivors.rows[i]) * 29 + j];
                            score += metric == HR_METRIC_L2 ? values[j] * x - x * x / 2 : values[j] * x;
                        }
                        CHECK(std::fabs(sink.survivors.scores[i] - score) < 1.0);
                    }
                }
            }
        }
}

void wrong_packed_arguments_are_refused() {
    const Case problem(2, 70, 4, 3);
    const Catalogue catalogue(problem, HR_METRIC_IP, HR_SCAN_INT8);
    Answer out(2, 3);
    auto call = [&](const void* packed, int scan, int64_t k) {
        return hr_topk_packed(problem.queries.data(), 2, problem.items.data(), packed, 70, 4, k, 0, scan, nullptr, 0, 1,
                              out.scores.data(), out.ids.data(), nullptr);
    };
    CHECK(call(catalogue.data(), HR_SCAN_INT8, 3) == HR_OK);
    CHECK(call(nullptr, HR_SCAN_INT8, 3) == HR_INVALID);
    CHECK(call(catalogue.data(), HR_SCAN_FLOAT32, 3) == HR_INVALID);
    CHECK(call(catalogue.data(), 3, 3) == HR_INVALID);
    CHECK(call(catalogue.data(), HR_SCAN_INT8, 0) == HR_INVALID);
    int64_t bytes = 0;
    CHECK(hr_topk_packed_bytes(-1, 4, 0, HR_SCAN_INT8, &bytes) == HR_INVALID);
    CHECK(hr_topk_packed_bytes(1, 4, 0, HR_SCAN_INT8, nullptr) == HR_INVALID);
    std::vector<float> bad = problem.items;
    bad[69 * 4] = kNan;
    std::vector<std::byte> room(1 << 16);
    auto pack = [&](const float* items, void* out) { return hr_topk_pack(items, 70, 4, 0, HR_SCAN_INT8, 0, 1, out); };
    CHECK(pack(problem.items.data(), nullptr) == HR_INVALID);
    CHECK(pack(bad.data(), room.data()) == HR_INVALID);
    CHECK(std::string(hr_last_error()).find("items: expected finite values, got NaN or infinity in row 69") == 0);
}

void wrong_arguments_are_refused() {
    Case problem(2, 70, 4, 3);
    Answer out(2, 3);
    const float* q = problem.queries.data();
    const float* x = problem.items.data();
    constexpr int64_t kHuge = std::numeric_limits<int64_t>::max() / 2;
    auto call = [&](int64_t b, int64_t n, int64_t d, int64_t k, int metric, int64_t stride, int threads) {
        return hr_topk(q, b, x, n, d, k, metric, nullptr, stride, threads, out.scores.data(), out.ids.data());
    };
    CHECK(call(2, 70, 4, 0, 0, 0, 1) == HR_INVALID);
    CHECK(call(-1, 70, 4, 3, 0, 0, 1) == HR_INVALID);
    CHECK(call(2, -1, 4, 3, 0, 0, 1) == HR_INVALID);
    CHECK(call(2, int64_t{1} << 40, 4, 3, 0, 0, 1) == HR_INVALID);
    CHECK(call(2, 70, 0, 3, 0, 0, 1) == HR_INVALID);
    CHECK(call(2, 70, 70000, 3, 0, 0, 1) == HR_INVALID);
    CHECK(call(kHuge, 70, 4, 3, 0, 0, 1) == HR_INVALID);
    CHECK(call(2, 70, 4, kHuge, 0, 0, 1) == HR_INVALID);
    CHECK(call(2, 70, 4, 3, 3, 0, 1) == HR_INVALID);
    CHECK(call(2, 70, 4, 3, 0, 1, 1) == HR_INVALID);
    CHECK(call(2, 70, 4, 3, 0, 0, -1) == HR_INVALID);
    CHECK(hr_topk(nullptr, 2, x, 70, 4, 3, 0, nullptr, 0, 1, out.scores.data(), out.ids.data()) == HR_INVALID);
    problem.items[69 * 4] = kNan;
    CHECK(problem.run(HR_METRIC_IP, 2, out) == HR_INVALID);
    CHECK(std::string(hr_last_error()).find("items: expected finite values, got NaN or infinity in row 69") == 0);
    problem.queries[4] = std::numeric_limits<float>::infinity();
    CHECK(problem.run(HR_METRIC_IP, 2, out) == HR_INVALID);
    CHECK(std::string(hr_last_error()).find("queries: ") == 0);
}

void many_threads_share_the_items() {
    const Case problem(40, 3000, 12, 25);
    const Answer expected = problem.brute_force(false);
    std::vector<std::thread> callers;
    std::vector<int> right(6, 0);
    for (int c = 0; c < 6; ++c)
        callers.emplace_back([&, c] {
            for (int round = 0; round < 5; ++round) {
                Answer out(problem.n_queries, problem.k);
                right[static_cast<size_t>(c)] += problem.run(HR_METRIC_IP, 1 + c % 3, out) == HR_OK && out == expected;
            }
        });
    for (auto& caller : callers) caller.join();
    for (int count : right) CHECK(count == 5);
}

}  // namespace

int main() {
    answers_equal_a_brute_force();
    masks_are_obeyed();
    cosine_of_awkward_vectors();
    packed_catalogues_answer_alike();
    packed_numbers_decide_alone();
    every_packed_scan_gives_the_same_scores();
    wrong_packed_arguments_are_refused();
    wrong_arguments_are_refused();
    many_threads_share_the_items();
    return report("topk");
}
