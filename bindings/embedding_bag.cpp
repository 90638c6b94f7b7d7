#include "embedding_bag/embedding_bag.h"

#include "binding.h"

namespace {

static_assert(sizeof(hr_embedding_table) == 5 * sizeof(int64_t), "a row of the layout array");

const Binding binding{[](py::module_& m) {
    m.def(
        "embedding_bag",
        [](const py::array& values, const Array<float>& scales, int dtype, const Array<int64_t>& layout,
           const Array<int64_t>& indices, const Array<int64_t>& offsets, int64_t batch, const py::object& weights,
           int pooling, int threads, Array<float> out) {
            const auto* table = reinterpret_cast<const hr_embedding_table*>(layout.data());
            const hr_embedding_tables tables{values.data(), values.size(), scales.data(),  scales.size(),
                                             dtype,         table,         layout.shape(0)};
            const float* weight = pointer_or_null<float>(weights);
            float* to = out.mutable_data();
            run([&, i = indices.data(), nnz = indices.size(), o = offsets.data(), width = out.shape(1)] {
                return hr_embedding_bag(&tables, i, nnz, o, batch, weight, pooling, threads, width, to);
            });
        },
        py::arg("values").noconvert(), py::arg("scales").noconvert(), py::arg("dtype"), py::arg("layout").noconvert(),
        py::arg("indices").noconvert(), py::arg("offsets").noconvert(), py::arg("batch"), py::arg("weights").none(true),
        py::arg("pooling"), py::arg("threads"), py::arg("out").noconvert());
}};

}  // namespace
