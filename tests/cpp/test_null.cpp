// No function of the C interface follows a null pointer, or an offset that changed since it was checked.
#include <string>
#include <vector>

#include "ceilings/ceilings.h"
#include "check.h"
#include "headrace.h"

namespace {

const std::vector<float> vectors{1, 2, 3, 4}, rewards{1, 2};
const std::vector<double> doubles{1, 2};
const std::vector<int64_t> offsets{0, 2}, ids{0, 1}, rows{0, 0}, limits{2}, user{0};
const std::vector<int32_t> codes{0, 1};
std::vector<int64_t> out_ids(16), out_offsets(4), out_bits(16);
std::vector<int32_t> out_codes(16);
std::vector<float> out(16), out_path(16);
std::vector<double> out_scores(16);
std::vector<uint8_t> seen(16);

void refused(const char* call, hr_status status) {
    if (status != HR_INVALID) std::printf("%s: status %d\n", call, status);
    CHECK(status == HR_INVALID);
    CHECK(std::string(hr_last_error()).find(": expected") != std::string::npos);
}

// Calls `function` with each of its pointers null in turn, by their places; `call` is given which to leave out.
template <class Call>
void each_null(const char* name, int pointers, Call call) {
    if (call(-1) != HR_OK) std::printf("%s: %s\n", name, hr_last_error());
    CHECK(call(-1) == HR_OK);
    for (int out_of = 0; out_of < pointers; ++out_of) {
        const std::string words = std::string(name) + " without " + std::to_string(out_of);
        refused(words.c_str(), call(out_of));
    }
}

template <class T>
const T* in(const std::vector<T>& values, bool null) {
    return null ? nullptr : values.data();
}
template <class T>
T* to(std::vector<T>& values, bool null) {
    return null ? nullptr : values.data();
}

void searches() {
    each_null("topk", 4, [](int n) {
        return hr_topk(in(vectors, n == 0), 2, in(vectors, n == 1), 2, 2, 1, HR_METRIC_IP, nullptr, 0, 1,
                       to(out_scores, n == 2), to(out_ids, n == 3));
    });
    each_null("topk_merge", 4, [](int n) {
        return hr_topk_merge(in(doubles, n == 0), in(ids, n == 1), 1, 1, 2, 1, to(out_scores, n == 2),
                             to(out_ids, n == 3));
    });
    each_null("segment_topk", 5, [](int n) {
        return hr_segment_topk(in(offsets, n == 0), 1, in(rewards, n == 1), in(ids, n == 2), 2, 1, 1,
                               to(out_ids, n == 3), 1, to(out_offsets, n == 4));
    });
    each_null("closeness", 5, [](int n) {
        return hr_closeness(in(vectors, n == 0), 2, 2, in(codes, n == 1), 1, 2, in(offsets, n == 2), in(ids, n == 3), 2,
                            1, to(out, n == 4));
    });
}

void tables() {
    each_null("pool_items", 8, [](int n) {
        const hr_item_lists lists{in(offsets, n == 0), 1, 1, in(ids, n == 1), nullptr, 2, in(limits, n == 2), 60};
        return hr_pool_items(n == 3 ? nullptr : &lists, 2, 1, 2, to(out_offsets, n == 4), to(out_ids, n == 5),
                             to(out, n == 6), to(out_bits, n == 7), nullptr);
    });
    each_null("co_occurrence", 7, [](int n) {
        const hr_likes likes{in(offsets, n == 0), 1, in(ids, n == 1), nullptr, 2, 2, nullptr};
        const hr_closeness_formula formula{1, 0, nullptr, nullptr, 1};
        return hr_co_occurrence(n == 2 ? nullptr : &likes, n == 3 ? nullptr : &formula, 2, 1, to(out_offsets, n == 4),
                                to(out_ids, n == 5), to(out, n == 6));
    });
    each_null("swing", 6, [](int n) {
        const hr_likes likes{in(offsets, n == 0), 1, in(ids, n == 1), nullptr, 2, 2, nullptr};
        return hr_swing(n == 2 ? nullptr : &likes, 1, 2, 1, to(out_offsets, n == 3), to(out_ids, n == 4),
                        to(out, n == 5));
    });
    each_null("two_hop", 11, [](int n) {
        const std::vector<int64_t>& bounds = offsets;
        const hr_edges seeds{in(bounds, n == 0), 1, in(rows, n == 1), in(rewards, n == 2), nullptr, 2};
        const hr_edges items{in(bounds, n == 3), 1, in(ids, n == 4), nullptr, ids.data(), 2};
        return hr_two_hop(in(user, n == 5), in(user, n == 6), 1, n == 7 ? nullptr : &seeds, n == 8 ? nullptr : &items,
                          9, 0, 2, 1, to(out_offsets, n == 9), to(out_ids, n == 10), out.data());
    });
    each_null("lookup_pairs", 8, [](int n) {
        const hr_pair_table table{in(offsets, n == 0), 1, in(codes, n == 1), 2,
                                  in(vectors, n == 2), 1, codes.data(),      2};
        return hr_lookup_pairs(n == 3 ? nullptr : &table, 1, in(user, n == 4), 1, in(offsets, n == 5), in(ids, n == 6),
                               2, 1, to(out, n == 7));
    });
    each_null("embedding_bag", 6, [](int n) {
        static std::vector<float> values(32, 1);
        const hr_embedding_table table{0, 0, 2, 2, 0};
        const hr_embedding_tables all{in(values, n == 0),        32, nullptr, 0, HR_EMBEDDING_FLOAT32,
                                      n == 1 ? nullptr : &table, 1};
        return hr_embedding_bag(n == 2 ? nullptr : &all, in(ids, n == 3), 2, in(offsets, n == 4), 1, nullptr,
                                HR_POOLING_SUM, 1, 2, to(out, n == 5));
    });
}

void filters() {
    static std::vector<uint64_t> bits(8);
    const auto bank = [](int n) { return hr_bloom_bank{n == 0 ? nullptr : bits.data(), 2, 4, 3, HR_BLOOM_BLOCK}; };
    each_null("bloom_insert", 4, [&](int n) {
        const hr_bloom_bank one = bank(n);
        return hr_bloom_insert(n == 1 ? nullptr : &one, in(rows, n == 2), in(ids, n == 3), 2, 1);
    });
    each_null("bloom_contains", 5, [&](int n) {
        const hr_bloom_bank one = bank(n);
        return hr_bloom_contains(n == 1 ? nullptr : &one, in(rows, n == 2), 1, in(ids, n == 3), 2, 1, to(seen, n == 4));
    });
    each_null("bloom_contains_lists", 6, [&](int n) {
        const hr_bloom_lists asked{bank(n), in(codes, n == 1), 1};
        return hr_bloom_contains_lists(n == 2 ? nullptr : &asked, 1, in(offsets, n == 3), 1, in(ids, n == 4), 2, 1,
                                       to(seen, n == 5));
    });
}

void lists() {
    for (const bool dpp : {true, false})
        each_null(dpp ? "dpp" : "mmr", 7, [&](int n) {
            hr_lists given{};
            given.vectors = in(vectors, n == 0);
            given.rewards = in(rewards, n == 1);
            given.offsets = in(offsets, n == 2);
            given.batch = 1, given.items = given.width = 2;
            const hr_picks picks{to(out_ids, n == 3), to(out, n == 4), nullptr, nullptr};
            const hr_lists* from = n == 5 ? nullptr : &given;
            const hr_picks* into = n == 6 ? nullptr : &picks;
            return dpp ? hr_dpp(from, 2, 0.5, 0, 1e-6, 1, into) : hr_mmr(from, 2, 0.5, 0, 1, into);
        });
}

void settings() {
    refused("get_isa", hr_get_isa(nullptr));
    refused("get_threads", hr_get_threads(nullptr));
    refused("topk_packed_bytes", hr_topk_packed_bytes(2, 2, HR_METRIC_IP, HR_SCAN_INT8, nullptr));
    refused("topk_pack", hr_topk_pack(nullptr, 2, 2, HR_METRIC_IP, HR_SCAN_INT8, 0, 1, out.data()));
    refused("topk_unpack", hr_topk_unpack(nullptr, 2, 2, HR_METRIC_IP, HR_SCAN_INT8, codes.data(), 2, 1, out.data()));
    refused("beam_search", hr_beam_search(nullptr, rewards.data(), 1, 1, 1, out_codes.data(), out.data()));
    refused("network", hr_network(nullptr, nullptr, nullptr, 1, out.data()));
    refused("network_packed_count", hr_network_packed_count(nullptr, nullptr));
    refused("network_pack", hr_network_pack(nullptr, nullptr));
    refused("memory_ceiling", hr_memory_ceiling(0, 1 << 20, 1, 1e-3, nullptr, nullptr));
    refused("matrix_ceiling", hr_matrix_ceiling(0, 1, 1e-3, nullptr, nullptr));
}

// The ends are right and something between is not, as when the caller's memory changed.
void offsets_between() {
    const std::vector<int64_t> nodes{1, 0};
    for (const int64_t middle : {int64_t{-1}, int64_t{3}, INT64_MAX, INT64_MIN}) {
        const std::vector<int64_t> bad{0, middle, 2}, good{0, 1, 2};
        for (const bool first : {true, false}) {
            const hr_edges seeds{first ? bad.data() : good.data(), 2, ids.data(), rewards.data(), nullptr, 2};
            const hr_edges items{first ? good.data() : bad.data(), 2, ids.data(), nullptr, nullptr, 2};
            refused("two_hop", hr_two_hop(nodes.data(), nullptr, 2, &seeds, &items, 9, 0, 2, 1, out_offsets.data(),
                                          out_ids.data(), out.data()));
        }
        for (const bool by_item : {true, false}) {
            const std::vector<float> row(3);
            const hr_pair_table table{bad.data(), 2, codes.data(), 2, row.data(), 1, by_item ? nullptr : codes.data(),
                                      2};
            refused("lookup_pairs",
                    hr_lookup_pairs(&table, 1, nodes.data(), 2, good.data(), ids.data(), 2, 1, out.data()));
        }
    }
}

}  // namespace

int main() {
    searches();
    tables();
    filters();
    lists();
    settings();
    offsets_between();
    return report("null");
}
