#include "topk/topk.h"

#include "binding.h"

namespace {

// A catalogue packed for these items, on a 64-byte boundary.
const uint8_t* packed_pointer(const In<uint8_t>& packed, int64_t n_items, int64_t dim, int metric, int scan) {
    int64_t bytes = 0;
    check(hr_topk_packed_bytes(n_items, dim, metric, scan, &bytes));
    if (packed[0] != bytes)
        throw py::value_error("packed: expected " + std::to_string(bytes) + " bytes, got " + std::to_string(packed[0]));
    if (bytes && reinterpret_cast<uintptr_t>(packed.data()) % 64)
        throw py::value_error("packed: expected a 64-byte boundary");
    return packed.data();
}

// What both searches are given: a mask for all queries or one for each, and room for the answers.
struct Search {
    Search(const py::handle& queries, int64_t n_items, int64_t k, const py::handle& mask, const py::handle& scores,
           const py::handle& ids)
        : q("queries", queries, {kAny, kAny}), to("scores", scores, {q[0], k}), to_ids("ids", ids, {q[0], k}) {
        if (mask.is_none()) return;
        const int64_t count = n_items / 64 + (n_items % 64 != 0);
        const bool each = py::isinstance<py::array>(mask) && py::reinterpret_borrow<py::array>(mask).ndim() == 2;
        words = each ? In<uint64_t>("mask", mask, {q[0], count}).data() : In<uint64_t>("mask", mask, {count}).data();
        stride = each ? count : 0;
    }
    const In<float> q;
    const Out<double> to;
    const Out<int64_t> to_ids;
    const uint64_t* words = nullptr;
    int64_t stride = 0;
};

const Binding binding{[](py::module_& m) {
    m.def(
        "topk",
        [](const py::handle& queries, const py::handle& items, int64_t k, int metric, const py::handle& mask,
           int threads, const py::handle& scores, const py::handle& ids) {
            const In<float> x("items", items, {kAny, kAny});
            const Search s(queries, x[0], k, mask, scores, ids);
            if (s.q[1] != x[1]) throw py::value_error("items: expected as many columns as in queries");
            run([&] {
                return hr_topk(s.q.data(), s.q[0], x.data(), x[0], x[1], k, metric, s.words, s.stride, threads,
                               s.to.data(), s.to_ids.data());
            });
        },
        py::arg("queries"), py::arg("items"), py::arg("k"), py::arg("metric"), py::arg("mask"), py::arg("threads"),
        py::arg("scores"), py::arg("ids"));
    m.def(
        "topk_packed_bytes",
        [](int64_t n_items, int64_t dim, int metric, int scan) {
            int64_t bytes = 0;
            check(hr_topk_packed_bytes(n_items, dim, metric, scan, &bytes));
            return bytes;
        },
        py::arg("n_items"), py::arg("dim"), py::arg("metric"), py::arg("scan"));
    m.def(
        "topk_pack",
        [](const py::handle& items, int metric, int scan, bool rounded, int threads, const py::handle& packed) {
            const In<float> x("items", items, {kAny, kAny});
            const Out<uint8_t> out("packed", packed, {kAny});
            packed_pointer(In<uint8_t>("packed", packed, {kAny}), x[0], x[1], metric, scan);
            run([&] { return hr_topk_pack(x.data(), x[0], x[1], metric, scan, rounded, threads, out.data()); });
        },
        py::arg("items"), py::arg("metric"), py::arg("scan"), py::arg("rounded"), py::arg("threads"),
        py::arg("packed"));
    m.def(
        "topk_unpack",
        [](const py::handle& packed, int64_t n_items, int metric, int scan, const py::handle& rows, int threads,
           const py::handle& vectors) {
            const In<int32_t> r("rows", rows, {kAny});
            const Out<float> to("vectors", vectors, {r[0], kAny});
            const In<uint8_t> bytes("packed", packed, {kAny});
            const uint8_t* panels = packed_pointer(bytes, n_items, to[1], metric, scan);
            run([&] {
                return hr_topk_unpack(panels, n_items, to[1], metric, scan, r.data(), r[0], threads, to.data());
            });
        },
        py::arg("packed"), py::arg("n_items"), py::arg("metric"), py::arg("scan"), py::arg("rows"), py::arg("threads"),
        py::arg("vectors"));
    m.def(
        "topk_packed",
        [](const py::handle& queries, const py::handle& items, const py::handle& packed, int64_t n_items, int64_t k,
           int metric, int scan, const py::handle& mask, int threads, const py::handle& scores, const py::handle& ids) {
            if (n_items < 0) throw py::value_error("n_items: expected at least 0, got " + std::to_string(n_items));
            const Search s(queries, n_items, k, mask, scores, ids);
            const auto x = In<float>::or_none("items", items, {n_items, s.q[1]});
            const In<uint8_t> bytes("packed", packed, {kAny});
            const uint8_t* panels = packed_pointer(bytes, n_items, s.q[1], metric, scan);
            hr_topk_counts counts{};
            run([&] {
                return hr_topk_packed(s.q.data(), s.q[0], x.data(), panels, n_items, s.q[1], k, metric, scan, s.words,
                                      s.stride, threads, s.to.data(), s.to_ids.data(), &counts);
            });
            return py::make_tuple(counts.rescored, counts.widened);
        },
        py::arg("queries"), py::arg("items"), py::arg("packed"), py::arg("n_items"), py::arg("k"), py::arg("metric"),
        py::arg("scan"), py::arg("mask"), py::arg("threads"), py::arg("scores"), py::arg("ids"));
    m.def(
        "topk_merge",
        [](const py::handle& scores, const py::handle& ids, int64_t k, const py::handle& merged_scores,
           const py::handle& merged_ids) {
            const In<double> from("scores", scores, {kAny, kAny, kAny});
            const In<int64_t> names("ids", ids, {from[0], from[1], from[2]});
            const Out<double> to("merged_scores", merged_scores, {from[1], k});
            const Out<int64_t> to_ids("merged_ids", merged_ids, {from[1], k});
            run([&] {
                return hr_topk_merge(from.data(), names.data(), from[0], from[1], from[2], k, to.data(), to_ids.data());
            });
        },
        py::arg("scores"), py::arg("ids"), py::arg("k"), py::arg("merged_scores"), py::arg("merged_ids"));
}};

}  // namespace
