#include "pool_items/pool_items.h"

#include "binding.h"

namespace {

const Binding binding{[](py::module_& m) {
    m.def(
        "pool_items",
        [](const Array<int64_t>& offsets, const Array<int64_t>& item, const py::object& score,
           const Array<int64_t>& limits, double constant, int64_t k, int threads, Array<int64_t> out_offsets,
           Array<int64_t> out_item, Array<float> out_score, Array<int64_t> out_lists) {
            const hr_item_lists lists{offsets.data(),
                                      offsets.shape(0),
                                      offsets.shape(1) - 1,
                                      item.data(),
                                      pointer_or_null<double>(score),
                                      item.size(),
                                      limits.data(),
                                      constant};
            run([&, room = out_item.size(), o = out_offsets.mutable_data(), i = out_item.mutable_data(),
                 s = out_score.mutable_data(),
                 l = out_lists.mutable_data()] { return hr_pool_items(&lists, k, threads, room, o, i, s, l); });
        },
        py::arg("offsets").noconvert(), py::arg("item").noconvert(), py::arg("score").none(true),
        py::arg("limits").noconvert(), py::arg("constant"), py::arg("k"), py::arg("threads"),
        py::arg("out_offsets").noconvert(), py::arg("out_item").noconvert(), py::arg("out_score").noconvert(),
        py::arg("out_lists").noconvert());
}};

}  // namespace
