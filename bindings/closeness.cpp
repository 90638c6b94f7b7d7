#include "closeness/closeness.h"

#include "binding.h"

namespace {

const Binding binding{[](py::module_& m) {
    m.def(
        "closeness",
        [](const Array<float>& content, const Array<int32_t>& recent, const Array<int64_t>& offsets,
           const Array<int64_t>& item, int threads, Array<float> out) {
            run([&, c = content.data(), items = content.shape(0), dim = content.shape(1), r = recent.data(),
                 batch = recent.shape(0), length = recent.shape(1), o = offsets.data(), i = item.data(),
                 n = item.size(), to = out.mutable_data()] {
                return hr_closeness(c, items, dim, r, batch, length, o, i, n, threads, to);
            });
        },
        py::arg("content").noconvert(), py::arg("recent").noconvert(), py::arg("offsets").noconvert(),
        py::arg("item").noconvert(), py::arg("threads"), py::arg("out").noconvert());
}};

}  // namespace
