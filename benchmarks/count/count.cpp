// One call of each op at a fixed size on one thread, for counting its instructions.
// Without an argument: a line "function|case" for each. With a case: makes its inputs and calls the function once.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#include "headrace.h"

namespace {

// Small and the same everywhere: what the standard library draws may differ between its versions.
struct Draw {
    uint64_t state = 0x9E3779B97F4A7C15u;
    uint64_t next() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }
    int64_t below(int64_t n) { return static_cast<int64_t>(next() % static_cast<uint64_t>(n)); }
    double unit() { return static_cast<double>(next() >> 11) * 0x1p-52 - 1.0; }
    template <class T>
    std::vector<T> units(int64_t n) {
        std::vector<T> made(static_cast<size_t>(n));
        for (T& x : made) x = static_cast<T>(unit());
        return made;
    }
    std::vector<int64_t> ids(int64_t n, int64_t bound) {
        std::vector<int64_t> made(static_cast<size_t>(n));
        for (int64_t& x : made) x = below(bound);
        return made;
    }
};

std::vector<int64_t> steps(int64_t n, int64_t step) {
    std::vector<int64_t> made;
    for (int64_t i = 0; i <= n; ++i) made.push_back(i * step);
    return made;
}

hr_status topk() {
    Draw draw;
    const int64_t batch = 8, items = 20000, dim = 64, k = 100;
    const auto queries = draw.units<float>(batch * dim), table = draw.units<float>(items * dim);
    std::vector<double> scores(batch * k);
    std::vector<int64_t> ids(batch * k);
    return hr_topk(queries.data(), batch, table.data(), items, dim, k, HR_METRIC_IP, nullptr, 0, 1, scores.data(),
                   ids.data());
}

struct Lists {
    int64_t batch = 4, n = 300, width = 64, k = 40;
    Draw draw;
    std::vector<float> vectors = draw.units<float>(batch * n * width), rewards = draw.units<float>(batch * n);
    std::vector<int64_t> offsets = steps(batch, n), picked = std::vector<int64_t>(batch * k);
    std::vector<float> gain = std::vector<float>(batch * k);
    hr_lists lists{vectors.data(), rewards.data(), offsets.data(), batch, batch* n, width, nullptr, nullptr, 0};
    hr_picks picks{picked.data(), gain.data(), nullptr};
};

hr_status dpp() {
    Lists l;
    return hr_dpp(&l.lists, l.k, 0.6, 10, 1e-6, 1, &l.picks);
}

hr_status mmr() {
    Lists l;
    return hr_mmr(&l.lists, l.k, 0.6, 10, 1, &l.picks);
}

struct Seen {
    int64_t users = 16, keys = 1000, words = 256;
    Draw draw;
    std::vector<uint64_t> bits = std::vector<uint64_t>(users * words);
    std::vector<int64_t> rows = draw.ids(users * keys, users), key = draw.ids(users * keys, 1'000'000);
    hr_bloom_bank bank{bits.data(), users, words, 8, HR_BLOOM_BLOCK};
};

hr_status bloom_insert() {
    Seen s;
    return hr_bloom_insert(&s.bank, s.rows.data(), s.key.data(), s.users * s.keys, 1);
}

hr_status bloom_contains() {
    Seen s;
    for (uint64_t& word : s.bits) word = s.draw.next();
    std::vector<uint8_t> seen(s.users * s.keys);
    return hr_bloom_contains(&s.bank, s.rows.data(), 1, s.key.data(), s.users * s.keys, 1, seen.data());
}

hr_status embedding_bag() {
    Draw draw;
    const int64_t tables = 8, rows = 1000, dim = 16, batch = 64, bag = 20;
    const auto values = draw.units<float>(tables * rows * dim);
    std::vector<hr_embedding_table> table;
    for (int64_t t = 0; t < tables; ++t) table.push_back({t * rows * dim, t * rows, rows, dim, t * dim});
    const hr_embedding_tables all{values.data(),        tables * rows * dim, nullptr, 0,
                                  HR_EMBEDDING_FLOAT32, table.data(),        tables};
    const auto indices = draw.ids(tables * batch * bag, rows), offsets = steps(tables * batch, bag);
    std::vector<float> out(batch * tables * dim);
    return hr_embedding_bag(&all, indices.data(), tables * batch * bag, offsets.data(), batch, nullptr, HR_POOLING_SUM,
                            1, tables * dim, out.data());
}

hr_status beam_search() {
    Draw draw;
    const int64_t depth = 3, nodes = 104, users = 32, hidden = 64, batch = 4, beam = 20;
    const auto user_weight = draw.units<double>(depth * hidden * users),
               hidden_bias = draw.units<double>(depth * hidden);
    const auto tables = draw.units<double>(depth * (depth - 1) / 2 * nodes * hidden);
    const auto output_weight = draw.units<double>(depth * nodes * hidden),
               output_bias = draw.units<double>(depth * nodes);
    const hr_path_model model{depth,
                              nodes,
                              users,
                              hidden,
                              user_weight.data(),
                              hidden_bias.data(),
                              tables.data(),
                              output_weight.data(),
                              output_bias.data()};
    const auto user = draw.units<float>(batch * users);
    std::vector<int32_t> paths(batch * beam * depth);
    std::vector<float> logp(batch * beam);
    return hr_beam_search(&model, user.data(), batch, beam, 1, paths.data(), logp.data());
}

// Candidates of a catalogue: request after request, `each` of them.
struct Asked {
    int64_t batch, each, items, n = batch * each;
    Draw draw{};
    std::vector<int64_t> offsets = steps(batch, each), item = draw.ids(n, items);
};

// A request of 84 inputs; rows of 240 columns, of which 8 attend to 20 entries; layers of 64 and of 9 targets.
hr_status network() {
    Asked a{4, 200, 1000};
    Draw draw;
    const int64_t width = 240, inputs = 84, own = 10, codes = 24, past = 20, dim = 8, count = 40'000;
    const int64_t first = 1, second = first + inputs * width, third = second + own * width, last = third + 64 * 240;
    const std::vector<int64_t> request{0, 0,  inputs, -1, -1,     -1,    0,     0,  0, 0, 0, 0,  //
                                       1, 84, width,  0,  inputs, first, width, -1, 0, 0, 0, 0};
    const std::vector<int64_t> pair{0, 0,   width, 0,   0,     0,      -1,    0,  0, 0, 0, 0,  //
                                    0, 240, own,   -1,  -1,    -1,     0,     0,  0, 0, 0, 0,  //
                                    8, 250, dim,   0,   0,     0,      0,     0,  0, 0, 0, 0,  //
                                    1, 0,   width, 240, own,   second, width, -2, 1, 0, 0, 0,  //
                                    1, 258, 64,    0,   width, third,  64,    -1, 1, 0, 0, 0,  //
                                    1, 322, 9,     250, 72,    last,   9,     -1, 0, 0, 0, 0};
    const auto weights = draw.units<float>(count), item_rows = draw.units<float>(a.items * width),
               code_rows = draw.units<float>(codes * width), given = draw.units<float>(a.batch * inputs),
               entries = draw.units<float>(a.batch * past * dim), features = draw.units<float>(a.n * own);
    const hr_network_program program{{2, request.data(), 84 + width, 84, width},
                                     {6, pair.data(), 331, 322, 9},
                                     count,
                                     weights.data(),
                                     a.items,
                                     width,
                                     item_rows.data(),
                                     codes,
                                     width,
                                     code_rows.data(),
                                     inputs,
                                     own};
    const std::vector<int32_t> counts(a.batch, past), code(a.n, 7);
    const hr_network_sequence sequence{dim, past, entries.data(), counts.data()};
    const hr_network_requests requests{a.batch, given.data(), 1, &sequence};
    const hr_network_candidates candidates{a.n, a.offsets.data(), a.item.data(), 1, code.data(), features.data()};
    std::vector<float> logits(9 * a.n);
    return hr_network(&program, &requests, &candidates, 1, logits.data());
}

hr_status segment_topk() {
    Asked a{8, 1300, 100000};
    const int64_t k = 500;
    const auto score = a.draw.units<float>(a.n);
    std::vector<int64_t> index(a.batch * k), kept(a.batch + 1);
    return hr_segment_topk(a.offsets.data(), a.batch, score.data(), a.item.data(), a.n, k, 1, index.data(), a.batch * k,
                           kept.data());
}

hr_status pool_items() {
    const int64_t lists = 5, batch = 8, each = 350, n = lists * batch * each, k = 1000;
    Draw draw;
    std::vector<int64_t> offsets, item;
    // Multiples of a list's own step modulo a prime: no item comes twice in a list.
    for (int64_t list = 0; list < lists * batch; ++list) {
        const int64_t step = 1 + draw.below(2502);
        for (int64_t i = 0; i < each; ++i) item.push_back((i + 1) * step % 2503);
    }
    for (int64_t list = 0; list < lists; ++list)
        for (int64_t b = 0; b <= batch; ++b) offsets.push_back((list * batch + b) * each);
    const std::vector<int64_t> limits(lists, each);
    const hr_item_lists all{offsets.data(), lists, batch, item.data(), nullptr, n, limits.data(), 60.0};
    std::vector<int64_t> kept(batch + 1), found(n), bits(n);
    std::vector<float> score(n);
    return hr_pool_items(&all, k, 1, n, kept.data(), found.data(), score.data(), bits.data(), nullptr);
}

// Users with 40 of 2,000 items each, the first more liked than the last.
hr_status co_occurrence() {
    const int64_t users = 400, each = 40, items = 2000, k = 50;
    Draw draw;
    std::vector<int64_t> item;
    for (int64_t user = 0; user < users; ++user) {
        const int64_t step = 1 + draw.below(40);
        for (int64_t i = 0; i < each; ++i) item.push_back(i * step);
    }
    const auto offsets = steps(users, each);
    const hr_likes likes{offsets.data(), users, item.data(), nullptr, users * each, items, nullptr};
    const hr_closeness_formula formula{1, 0, nullptr, nullptr, 1};
    std::vector<int64_t> kept(items + 1), found(items * k);
    std::vector<float> score(items * k);
    return hr_co_occurrence(&likes, &formula, k, 1, kept.data(), found.data(), score.data());
}

hr_status lookup_pairs() {
    Asked a{8, 1300, 5000};
    const int64_t users = 500, own = 30, width = 4;
    Draw draw;
    const auto offsets = steps(users, own), user = draw.ids(a.batch, users);
    std::vector<int32_t> codes, item_code;
    for (int64_t list = 0; list < users; ++list)
        for (int64_t i = 0; i < own; ++i) codes.push_back(static_cast<int32_t>(i * 10 + draw.below(10)));
    for (int64_t item = 0; item < a.items; ++item) item_code.push_back(static_cast<int32_t>(draw.below(own * 10)));
    const auto rows = draw.units<float>((users * own + 1) * width);
    const hr_pair_table table{offsets.data(), users, codes.data(),     users * own,
                              rows.data(),    width, item_code.data(), a.items};
    std::vector<float> out(a.n * width);
    return hr_lookup_pairs(&table, 1, user.data(), a.batch, a.offsets.data(), a.item.data(), a.n, 1, out.data());
}

hr_status closeness() {
    Asked a{8, 500, 5000};
    const int64_t dim = 16, length = 20;
    const auto content = a.draw.units<float>(a.items * dim);
    std::vector<int32_t> recent;
    for (int64_t i = 0; i < a.batch * length; ++i) recent.push_back(static_cast<int32_t>(a.draw.below(a.items)));
    std::vector<float> out(a.n * 2);
    return hr_closeness(content.data(), a.items, dim, recent.data(), a.batch, length, a.offsets.data(), a.item.data(),
                        a.n, 1, out.data());
}

hr_status two_hop() {
    Draw draw;
    const int64_t batch = 16, users = 100, nodes = 5000, mine = 50, each = 10, k = 200;
    const auto user_offsets = steps(users, mine), item_offsets = steps(nodes, each);
    const auto seed = draw.ids(users * mine, nodes), item = draw.ids(nodes * each, nodes),
               asked = draw.ids(batch, users);
    const auto weight = draw.units<float>(users * mine), strength = draw.units<float>(nodes * each);
    const hr_edges seeds{user_offsets.data(), users, seed.data(), weight.data(), nullptr, users * mine};
    const hr_edges items{item_offsets.data(), nodes, item.data(), strength.data(), nullptr, nodes * each};
    std::vector<int64_t> offsets(batch + 1), found(batch * k);
    std::vector<float> score(batch * k);
    return hr_two_hop(asked.data(), nullptr, batch, &seeds, &items, each, 0, k, 1, offsets.data(), found.data(),
                      score.data());
}

struct Case {
    const char* function;
    const char* name;
    hr_status (*run)();
};

const Case cases[] = {
    {"hr_topk", "topk B8 N20k d64 k100", topk},
    {"hr_dpp", "dpp B4 n300 d64 k40 w10", dpp},
    {"hr_mmr", "mmr B4 n300 d64 k40 w10", mmr},
    {"hr_bloom_insert", "bloom insert 16k keys", bloom_insert},
    {"hr_bloom_contains", "bloom contains 16k keys", bloom_contains},
    {"hr_embedding_bag", "embedding bag T8 B64 n20 d16", embedding_bag},
    {"hr_beam_search", "beam search B4 D3 K104 beam20", beam_search},
    {"hr_network", "network B4 x 200", network},
    {"hr_segment_topk", "segment topk B8 x 1300 k500", segment_topk},
    {"hr_pool_items", "pool items B8 5 x 350", pool_items},
    {"hr_co_occurrence", "co-occurrence 400 users x 40", co_occurrence},
    {"hr_lookup_pairs", "lookup pairs B8 x 1300", lookup_pairs},
    {"hr_closeness", "closeness B8 x 500 d16", closeness},
    {"hr_two_hop", "two hops B16 50 seeds of 10 k200", two_hop},
};

}  // namespace

int main(int count, char** words) {
    for (const Case& one : cases) {
        if (count < 2) {
            std::printf("%s|%s\n", one.function, one.name);
        } else if (!std::strcmp(one.name, words[1])) {
            if (one.run() == HR_OK) return 0;
            std::fprintf(stderr, "%s\n", hr_last_error());
            return 1;
        }
    }
    return count < 2 ? 0 : 2;
}
