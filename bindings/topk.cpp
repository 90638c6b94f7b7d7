#include "topk/topk.h"

#include "binding.h"

namespace {

const Binding binding{[](py::module_& m) {
    m.def(
        "topk",
        [](const Array<float>& queries, const Array<float>& items, int64_t k, int metric, const py::object& mask,
           int64_t mask_stride, int threads, Array<float>& scores, Array<int64_t>& ids) {
            const auto* words = pointer_or_null<uint64_t>(mask);
            const float* q = queries.data();
            const float* x = items.data();
            const int64_t n_queries = queries.shape(0), n_items = items.shape(0), dim = items.shape(1);
            float* out = scores.mutable_data();
            int64_t* rows = ids.mutable_data();
            run([&] {
                return hr_topk(q, n_queries, x, n_items, dim, k, metric, words, mask_stride, threads, out, rows);
            });
        },
        py::arg("queries").noconvert(), py::arg("items").noconvert(), py::arg("k"), py::arg("metric"), py::arg("mask"),
        py::arg("mask_stride"), py::arg("threads"), py::arg("scores").noconvert(), py::arg("ids").noconvert());
}};

}  // namespace
