#include "topk/topk.h"

#include "binding.h"

namespace {

// Packed catalogues lie on a 64-byte boundary.
const uint8_t* packed_pointer(const Array<uint8_t>& packed) {
    if (packed.size() && reinterpret_cast<uintptr_t>(packed.data()) % 64)
        throw py::value_error("packed: expected a 64-byte boundary");
    return packed.data();
}

void check_packed(const Array<uint8_t>& packed, int64_t n_items, int64_t dim, int metric, int scan) {
    int64_t bytes = 0;
    check(hr_topk_packed_bytes(n_items, dim, metric, scan, &bytes));
    if (packed.size() != bytes)
        throw py::value_error("packed: expected " + std::to_string(bytes) + " bytes, got " +
                              std::to_string(packed.size()));
}

const Binding binding{[](py::module_& m) {
    m.def(
        "topk",
        [](const Array<float>& queries, const Array<float>& items, int64_t k, int metric, const py::object& mask,
           int64_t mask_stride, int threads, Array<double>& scores, Array<int64_t>& ids) {
            const auto* words = pointer_or_null<uint64_t>(mask);
            const float* q = queries.data();
            const float* x = items.data();
            const int64_t n_queries = queries.shape(0), n_items = items.shape(0), dim = items.shape(1);
            double* out = scores.mutable_data();
            int64_t* rows = ids.mutable_data();
            run([&] {
                return hr_topk(q, n_queries, x, n_items, dim, k, metric, words, mask_stride, threads, out, rows);
            });
        },
        py::arg("queries").noconvert(), py::arg("items").noconvert(), py::arg("k"), py::arg("metric"), py::arg("mask"),
        py::arg("mask_stride"), py::arg("threads"), py::arg("scores").noconvert(), py::arg("ids").noconvert());
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
        [](const Array<float>& items, int metric, int scan, bool rounded, int threads, Array<uint8_t>& packed) {
            const float* x = items.data();
            const int64_t n_items = items.shape(0), dim = items.shape(1);
            check_packed(packed, n_items, dim, metric, scan);
            packed_pointer(packed);
            uint8_t* out = packed.mutable_data();
            run([&] { return hr_topk_pack(x, n_items, dim, metric, scan, rounded, threads, out); });
        },
        py::arg("items").noconvert(), py::arg("metric"), py::arg("scan"), py::arg("rounded"), py::arg("threads"),
        py::arg("packed").noconvert());
    m.def(
        "topk_unpack",
        [](const Array<uint8_t>& packed, int64_t n_items, int metric, int scan, const Array<int32_t>& rows, int threads,
           Array<float>& vectors) {
            const int64_t dim = vectors.shape(1);
            check_packed(packed, n_items, dim, metric, scan);
            const uint8_t* panels = packed_pointer(packed);
            run([&, from = rows.data(), count = rows.size(), to = vectors.mutable_data()] {
                return hr_topk_unpack(panels, n_items, dim, metric, scan, from, count, threads, to);
            });
        },
        py::arg("packed").noconvert(), py::arg("n_items"), py::arg("metric"), py::arg("scan"),
        py::arg("rows").noconvert(), py::arg("threads"), py::arg("vectors").noconvert());
    m.def(
        "topk_packed",
        [](const Array<float>& queries, const py::object& items, const Array<uint8_t>& packed, int64_t n_items,
           int64_t k, int metric, int scan, const py::object& mask, int64_t mask_stride, int threads,
           Array<double>& scores, Array<int64_t>& ids) {
            const auto* words = pointer_or_null<uint64_t>(mask);
            const float* q = queries.data();
            const auto* x = pointer_or_null<float>(items);
            const int64_t n_queries = queries.shape(0), dim = queries.shape(1);
            check_packed(packed, n_items, dim, metric, scan);
            const uint8_t* panels = packed_pointer(packed);
            double* out = scores.mutable_data();
            int64_t* rows = ids.mutable_data();
            hr_topk_counts counts{};
            run([&] {
                return hr_topk_packed(q, n_queries, x, panels, n_items, dim, k, metric, scan, words, mask_stride,
                                      threads, out, rows, &counts);
            });
            return py::make_tuple(counts.rescored, counts.widened);
        },
        py::arg("queries").noconvert(), py::arg("items").noconvert(), py::arg("packed").noconvert(), py::arg("n_items"),
        py::arg("k"), py::arg("metric"), py::arg("scan"), py::arg("mask"), py::arg("mask_stride"), py::arg("threads"),
        py::arg("scores").noconvert(), py::arg("ids").noconvert());
    m.def(
        "topk_merge",
        [](const Array<double>& scores, const Array<int64_t>& ids, int64_t k, Array<double>& merged_scores,
           Array<int64_t>& merged_ids) {
            run([&, from = scores.data(), names = ids.data(), lists = scores.shape(0), queries = scores.shape(1),
                 width = scores.shape(2), to = merged_scores.mutable_data(), to_ids = merged_ids.mutable_data()] {
                return hr_topk_merge(from, names, lists, queries, width, k, to, to_ids);
            });
        },
        py::arg("scores").noconvert(), py::arg("ids").noconvert(), py::arg("k"), py::arg("merged_scores").noconvert(),
        py::arg("merged_ids").noconvert());
}};

}  // namespace
