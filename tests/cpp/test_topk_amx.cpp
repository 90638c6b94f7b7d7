// The AMX scans on a model of the tile registers, so that they are proved on every machine with AVX-512; on a machine
// with AMX also against the model, bit by bit.
#define HEADRACE_AMX_MODEL 1
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "amx_model.h"
#include "check.h"
#include "core/cpu.h"
#include "topk/search.h"

namespace hr {
extern const PackedKernels packed_bfloat16_amx_model, packed_int8_amx_model;
}

namespace {

constexpr double kUnit = 0x1p-24;

const hr::PackedKernels& model(hr_scan scan) {
    return scan == HR_SCAN_INT8 ? hr::packed_int8_amx_model : hr::packed_bfloat16_amx_model;
}

std::vector<float> normal(int64_t n, unsigned seed, float scale) {
    std::mt19937 random(seed);
    std::normal_distribution<float> draw;
    std::vector<float> values(static_cast<size_t>(n));
    for (float& value : values) value = draw(random) * scale;
    return values;
}

// Items packed into exactly as many bytes as they take: the sanitizer sees any reading beyond.
class Catalogue {
  public:
    Catalogue(const std::vector<float>& items, int64_t n, int64_t dim, hr_metric metric, hr_scan scan)
        : layout_{n, dim, scan, metric},
          data_(static_cast<std::byte*>(std::aligned_alloc(64, static_cast<size_t>(layout_.bytes()))), std::free) {
        CHECK(hr_topk_pack(items.data(), n, dim, metric, scan, 0, 1, data_.get()) == HR_OK);
    }
    const hr::PackedLayout& layout() const { return layout_; }
    hr::Packed with(const hr::PackedKernels& kernels) const { return {layout_, data_.get(), &kernels}; }

  private:
    hr::PackedLayout layout_;
    std::unique_ptr<std::byte, decltype(&std::free)> data_;
};

// Queries as a kernel table wants them, in exactly as much memory.
struct Group {
    std::vector<uint32_t> words;
    std::vector<float> scales;
    std::vector<int32_t> starts;

    Group(const hr::Packed& packed, const std::vector<float>& queries, int size)
        : words(static_cast<size_t>(size * query_words(packed.layout, *packed.kernels)), 0xdeadbeef) {
        const int64_t dim = packed.layout.dim;
        for (int m = 0; m < size; ++m) {
            const std::vector<double> values(queries.begin() + m * dim, queries.begin() + (m + 1) * dim);
            const auto vector = pack_query(packed.layout, *packed.kernels, values.data(), m, size, words.data());
            scales.push_back(vector.scale);
            starts.push_back(vector.start);
        }
    }
};

// Row to score, for each query.
using Found = std::vector<std::map<int32_t, float>>;

Found scan_tile(const hr::Packed& packed, const Group& group, const std::vector<float>& limits,
                const std::vector<uint32_t>& allowed, const uint64_t* mask = nullptr) {
    const hr::PackedLayout& layout = packed.layout;
    const size_t size = limits.size(), room = hr::kTile + hr::kSlack;
    std::vector<float> scores(size * room);
    std::vector<int32_t> rows(size * room);
    std::vector<hr::Sink> sinks;
    for (size_t m = 0; m < size; ++m) sinks.push_back({{&scores[m * room], &rows[m * room], 0}, mask});
    const hr::PackedTile tile{
        packed.data + layout.kHead, layout.panel_bytes(), layout.steps(), allowed.data(), layout.kPanels, 0};
    const auto scan = layout.metric == HR_METRIC_L2 ? packed.kernels->scan_shifted : packed.kernels->scan;
    scan(tile, {group.words.data(), group.scales.data(), group.starts.data(), static_cast<int>(size)}, limits.data(),
         sinks.data());
    Found found(size);
    for (size_t m = 0; m < size; ++m)
        for (int64_t i = 0; i < sinks[m].survivors.count; ++i)
            found[m][sinks[m].survivors.rows[i]] = sinks[m].survivors.scores[i];
    return found;
}

std::vector<uint32_t> all_of(int64_t n) {
    std::vector<uint32_t> allowed(hr::PackedLayout::kPanels);
    for (int64_t i = 0; i < n; ++i) allowed[static_cast<size_t>(i / 32)] |= 1u << (i % 32);
    return allowed;
}

std::vector<float> length_of(const std::vector<float>& values, int64_t dim) {
    std::vector<float> lengths;
    for (size_t i = 0; i < values.size(); i += static_cast<size_t>(dim)) {
        double squares = 0;
        for (size_t j = 0; j < static_cast<size_t>(dim); ++j) squares += double{values[i + j]} * values[i + j];
        lengths.push_back(static_cast<float>(std::sqrt(squares)));
    }
    return lengths;
}

// Against the scalar kernel, within what the bound allows both together.
void check_scores(int64_t dim, int size, int64_t n, hr_metric metric, hr_scan scan, float scale) {
    const std::vector<float> items = normal(n * dim, 1, scale), queries = normal(size * dim, 2, scale);
    const std::vector<float> x = length_of(items, dim), q = length_of(queries, dim);
    const Catalogue catalogue(items, n, dim, metric, scan);
    const hr::Packed tiles = catalogue.with(model(scan));
    const hr::Packed plain = catalogue.with(scan == HR_SCAN_INT8 ? hr::packed_int8_scalar : hr::packed_bfloat16_scalar);
    const std::vector<float> everything(static_cast<size_t>(size), -std::numeric_limits<float>::infinity());
    const std::vector<uint32_t> allowed = all_of(n);
    const Group group(tiles, queries, size);
    const long long before = hr::amx_model.products;
    const Found found = scan_tile(tiles, group, everything, allowed);
    CHECK(!hr::amx_model.configured);
    const int64_t depth = (tiles.layout.steps() + 15) / 16, high = (size + 15) / 16;
    CHECK(hr::amx_model.products - before == depth * high * 2 * ((n + 31) / 32));
    const int together = plain.kernels->max_group;
    bool right = true;
    for (int first = 0; first < size; first += together) {
        const int count = std::min(together, size - first);
        const std::vector<float> part(queries.begin() + first * dim, queries.begin() + (first + count) * dim);
        const std::vector<float> limits(static_cast<size_t>(count), everything[0]);
        const Found expected = scan_tile(plain, Group(plain, part, count), limits, allowed);
        for (int m = 0; m < count; ++m) {
            const auto& mine = found[static_cast<size_t>(first + m)];
            right &= mine.size() == static_cast<size_t>(n);
            for (const auto& [row, score] : expected[static_cast<size_t>(m)]) {
                const double lengths = double{q[static_cast<size_t>(first + m)]} * x[static_cast<size_t>(row)];
                const double shift = metric == HR_METRIC_L2 ? double{x[static_cast<size_t>(row)]} * x[size_t(row)] : 0;
                const double units = scan == HR_SCAN_INT8 ? 8 : 2.0 * static_cast<double>(dim) + 16;
                const auto at = mine.find(row);
                right &= at != mine.end() && std::fabs(double{at->second} - score) <=
                                                 kUnit * (1.1 * units * lengths + 2 * shift) + 0x1p-120;
            }
        }
    }
    CHECK(right);
}

void scores_equal_the_scalar_kernels() {
    for (hr_scan scan : {HR_SCAN_BFLOAT16, HR_SCAN_INT8})
        for (hr_metric metric : {HR_METRIC_IP, HR_METRIC_L2}) {
            for (int64_t dim : {1, 2, 3, 4, 5, 15, 29, 31, 32, 33, 50, 63, 64, 65, 66, 97, 100, 127, 128, 129, 1000})
                for (int size : {1, 17, 32}) check_scores(dim, size, 70, metric, scan, 1.0f);
            for (int size : {2, 7, 15, 16, 31, 33, 48, 63, 64, 65, 100, 256})
                check_scores(scan == HR_SCAN_INT8 ? 70 : 40, size, 33, metric, scan, 1.0f);
            for (int64_t n : {1, 31, 32, 97, 256}) check_scores(64, 20, n, metric, scan, 1.0f);
            for (float scale : {0x1p-60f, 0x1p-40f, 0x1p28f}) check_scores(40, 5, 40, metric, scan, scale);
        }
}

// No item at its query's limit may be missed, and none clearly below it may come.
void limits_are_kept(hr_metric metric, hr_scan scan, float query_scale, float item_scale) {
    constexpr int64_t kDim = 45, kItems = 256;
    constexpr int kQueries = 19;
    std::vector<float> items = normal(kItems * kDim, 5, item_scale), queries = normal(kQueries * kDim, 6, query_scale);
    std::fill_n(queries.begin(), kDim, 0.0f);
    std::fill_n(items.begin() + 3 * kDim, kDim, 0.0f);
    const Catalogue catalogue(items, kItems, kDim, metric, scan);
    const hr::Packed packed = catalogue.with(model(scan));
    const Group group(packed, queries, kQueries);
    const std::vector<uint32_t> allowed = all_of(kItems);
    std::vector<float> limits(kQueries, -std::numeric_limits<float>::infinity());
    const Found all = scan_tile(packed, group, limits, allowed);
    for (int32_t row : {0, 3, 31, 32, 200, 255}) {
        for (size_t m = 0; m < kQueries; ++m) limits[m] = all[m].at(row);
        const Found found = scan_tile(packed, group, limits, allowed);
        bool kept = true, few = true;
        for (size_t m = 0; m < kQueries; ++m)
            for (const auto& [at, score] : all[m]) {
                const auto mine = found[m].find(at);
                if (score >= limits[m]) kept &= mine != found[m].end() && mine->second == score;
                if (mine != found[m].end()) few &= score >= limits[m] - std::fabs(limits[m]) * 0x1p-18f - 0x1p-120f;
            }
        CHECK(kept);
        CHECK(few);
    }
    // An infinite bound makes a limit NaN, which nothing reaches.
    limits.assign(kQueries, std::numeric_limits<float>::quiet_NaN());
    for (const auto& found : scan_tile(packed, group, limits, allowed)) CHECK(found.empty());
}

void limits_of_all_sizes() {
    for (hr_scan scan : {HR_SCAN_BFLOAT16, HR_SCAN_INT8})
        for (hr_metric metric : {HR_METRIC_IP, HR_METRIC_L2})
            for (auto [q, x] : {std::pair{1.0f, 1.0f}, {0x1p-70f, 0x1p-40f}, {0x1p-95f, 1.0f}, {0x1p50f, 0x1p30f}})
                limits_are_kept(metric, scan, q, x);
}

void masked_items_cost_nothing() {
    const std::vector<float> items = normal(256 * 64, 7, 1.0f), queries = normal(20 * 64, 8, 1.0f);
    const Catalogue catalogue(items, 256, 64, HR_METRIC_IP, HR_SCAN_INT8);
    const hr::Packed packed = catalogue.with(hr::packed_int8_amx_model);
    const std::vector<float> limits(20, -std::numeric_limits<float>::infinity());
    std::vector<uint32_t> allowed(8);
    const long long before = hr::amx_model.products;
    const Group group(packed, queries, 20);
    for (const auto& found : scan_tile(packed, group, limits, allowed)) CHECK(found.empty());
    CHECK(hr::amx_model.products == before);
    allowed[2] = 0x80000001u;
    allowed[7] = 0x00010000u;
    const std::vector<uint64_t> own{0, 1ull << 31, 0, 1ull << 48};  // a query's own mask: rows 95 and 240
    for (const auto& found : scan_tile(packed, group, limits, allowed))
        CHECK(found.size() == 3 && found.count(64) && found.count(95) && found.count(240));
    for (const auto& found : scan_tile(packed, group, limits, allowed, own.data()))
        CHECK(found.size() == 2 && found.count(95) && found.count(240));
    CHECK(hr::amx_model.products - before == 2 * 2 * 4);
}

struct Vectors {
    int64_t n_queries, n_items, dim, k;
    std::vector<float> queries, items;
};

// A search from end to end by the model, which must find what a float32 scan does.
void check_search(const Vectors& v, hr_metric metric) {
    const auto cells = static_cast<size_t>(v.n_queries * v.k);
    std::vector<double> scores(cells);
    std::vector<int64_t> ids(cells), expected(cells);
    CHECK(hr_topk(v.queries.data(), v.n_queries, v.items.data(), v.n_items, v.dim, v.k, metric, nullptr, 0, 1,
                  scores.data(), expected.data()) == HR_OK);
    for (hr_scan scan : {HR_SCAN_BFLOAT16, HR_SCAN_INT8}) {
        const Catalogue catalogue(v.items, v.n_items, v.dim, metric, scan);
        const hr::Packed packed = catalogue.with(model(scan));
        const hr::Problem problem{&hr::topk_kernels_scalar,
                                  v.items.data(),
                                  v.n_items,
                                  v.dim,
                                  v.k,
                                  v.k,
                                  metric,
                                  nullptr,
                                  0,
                                  &packed,
                                  nullptr,
                                  false};
        for (int threads : {1, 3}) {
            std::fill(ids.begin(), ids.end(), -7);
            hr::Search search(problem, v.queries.data(), v.n_queries, threads, scores.data(), ids.data());
            search.run();
            CHECK(ids == expected);
        }
    }
}

void searches_find_the_same() {
    for (auto [b, n, dim, k] : std::vector<std::array<int64_t, 4>>{
             {1, 300, 5, 3}, {7, 1000, 64, 10}, {33, 900, 65, 100}, {70, 2300, 130, 5}, {300, 520, 20, 7}})
        for (hr_metric metric : {HR_METRIC_IP, HR_METRIC_COSINE, HR_METRIC_L2}) {
            Vectors v{b, n, dim, k, normal(b * dim, 12, 1.0f), normal(n * dim, 13, 1.0f)};
            check_search(v, metric);
            // Many ties.
            for (float& value : v.queries) value = std::round(value);
            for (float& value : v.items) value = std::round(value);
            check_search(v, metric);
        }
}

void searches_of_awkward_vectors() {
    for (hr_metric metric : {HR_METRIC_IP, HR_METRIC_COSINE, HR_METRIC_L2}) {
        Vectors v{20, 1200, 40, 30, normal(20 * 40, 14, 1.0f), normal(1200 * 40, 15, 1.0f)};
        for (size_t i = 0; i < v.items.size(); ++i)
            v.items[i] = std::ldexp(v.items[i], static_cast<int>(i / 40 * 37 % 240) - 140);
        for (size_t i = 0; i < v.queries.size(); ++i)
            v.queries[i] = std::ldexp(v.queries[i], static_cast<int>(i / 40 * 13 % 200) - 140);
        check_search(v, metric);
    }
}

// Only a machine with AMX shows that the model is right. int8 is exact; the order of bfloat16 sums is the manual's, and
// the bound allows any.
void check_processor(int64_t dim, int size, hr_metric metric, hr_scan scan) {
    const std::vector<float> items = normal(100 * dim, 10, 1.0f), queries = normal(size * dim, 11, 1.0f);
    const std::vector<float> x = length_of(items, dim), q = length_of(queries, dim);
    const Catalogue catalogue(items, 100, dim, metric, scan);
    const hr::Packed modelled = catalogue.with(model(scan));
    const hr::Packed real = catalogue.with(scan == HR_SCAN_INT8 ? hr::packed_int8_amx : hr::packed_bfloat16_amx);
    const std::vector<float> limits(static_cast<size_t>(size), -1e30f);
    const Group group(modelled, queries, size);
    const Found expected = scan_tile(modelled, group, limits, all_of(100));
    const Found found = scan_tile(real, group, limits, all_of(100));
    if (scan == HR_SCAN_INT8) CHECK(found == expected);
    const double units = 2.2 * (2.0 * static_cast<double>(dim) + 16);
    bool near = true;
    for (size_t m = 0; m < found.size(); ++m) {
        near &= found[m].size() == 100;
        for (const auto& [row, score] : found[m]) {
            const double length = x[static_cast<size_t>(row)], shift = metric == HR_METRIC_L2 ? 2 * length * length : 0;
            near &= std::fabs(double{score} - expected[m].at(row)) <= kUnit * (units * q[m] * length + shift);
        }
    }
    CHECK(near);
    if (found != expected) std::printf("bfloat16, dim %d: the processor rounds unlike the model\n", int(dim));
}

void the_processor_agrees_with_the_model() {
    if (!hr_isa_usable(HR_ISA_AMX)) {
        std::printf("skipped: this machine cannot run amx, so the model stands for it\n");
        return;
    }
    for (hr_scan scan : {HR_SCAN_BFLOAT16, HR_SCAN_INT8})
        for (hr_metric metric : {HR_METRIC_IP, HR_METRIC_L2})
            for (int64_t dim : {1, 3, 31, 33, 63, 64, 65, 100, 128, 1000})
                for (int size : {1, 15, 16, 17, 31, 32, 33, 70}) check_processor(dim, size, metric, scan);
}

}  // namespace

int main() {
    if (!hr_isa_usable(HR_ISA_AVX512)) {
        std::printf("skipped: the scores of AMX are read by AVX-512, which this machine cannot run\n");
        return report("topk_amx");
    }
    scores_equal_the_scalar_kernels();
    limits_of_all_sizes();
    masked_items_cost_nothing();
    searches_find_the_same();
    searches_of_awkward_vectors();
    the_processor_agrees_with_the_model();
    return report("topk_amx");
}
