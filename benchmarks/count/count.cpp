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
    std::vector<float> scores(batch * k);
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
