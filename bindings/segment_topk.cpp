#include "segment_topk/segment_topk.h"

#include "binding.h"

namespace {

const Binding binding{[](py::module_& m) {
    m.def(
        "segment_topk",
        [](const py::handle& offsets, const py::handle& score, const py::handle& tie, int64_t k, int threads,
           const py::handle& index, const py::handle& out_offsets) {
            const In<int64_t> o("offsets", offsets, {kAny});
            const int64_t segments = lists_in("offsets", o[0]);
            const In<float> s("score", score, {kAny});
            const In<int64_t> t("tie", tie, {s[0]});
            const Out<int64_t> to("index", index, {kAny}), to_offsets("out_offsets", out_offsets, {o[0]});
            run([&] {
                return hr_segment_topk(o.data(), segments, s.data(), t.data(), s[0], k, threads, to.data(), to[0],
                                       to_offsets.data());
            });
        },
        py::arg("offsets"), py::arg("score"), py::arg("tie"), py::arg("k"), py::arg("threads"), py::arg("index"),
        py::arg("out_offsets"));
}};

}  // namespace
