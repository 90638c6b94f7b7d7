#include "closeness/closeness.h"

#include "binding.h"

namespace {

const Binding binding{[](py::module_& m) {
    m.def(
        "closeness",
        [](const py::handle& content, const py::handle& recent, const py::handle& offsets, const py::handle& item,
           int threads, const py::handle& out) {
            const In<float> c("content", content, {kAny, kAny});
            const In<int32_t> r("recent", recent, {kAny, kAny});
            const In<int64_t> o("offsets", offsets, {r[0] + 1}), i("item", item, {kAny});
            const Out<float> to("out", out, {i[0], 2});
            run([&] {
                return hr_closeness(c.data(), c[0], c[1], r.data(), r[0], r[1], o.data(), i.data(), i[0], threads,
                                    to.data());
            });
        },
        py::arg("content"), py::arg("recent"), py::arg("offsets"), py::arg("item"), py::arg("threads"), py::arg("out"));
}};

}  // namespace
