#include "segment_topk/segment_topk.h"

#include "binding.h"

namespace {

const Binding binding{[](py::module_& m) {
    m.def(
        "segment_topk",
        [](const Array<int64_t>& offsets, const Array<float>& score, const Array<int64_t>& tie, int64_t k, int threads,
           Array<int64_t> index, Array<int64_t> out_offsets) {
            run([&, o = offsets.data(), segments = offsets.size() - 1, s = score.data(), t = tie.data(),
                 nnz = score.size(), to = index.mutable_data(), room = index.size(),
                 to_offsets = out_offsets.mutable_data()] {
                return hr_segment_topk(o, segments, s, t, nnz, k, threads, to, room, to_offsets);
            });
        },
        py::arg("offsets").noconvert(), py::arg("score").noconvert(), py::arg("tie").noconvert(), py::arg("k"),
        py::arg("threads"), py::arg("index").noconvert(), py::arg("out_offsets").noconvert());
}};

}  // namespace
