#include "two_hop/two_hop.h"

#include "binding.h"

namespace {

hr_edges edges_of(const Array<int64_t>& offsets, const Array<int64_t>& target, const py::object& weight,
                  const py::object& time) {
    return {offsets.data(),
            offsets.size() - 1,
            target.data(),
            pointer_or_null<float>(weight),
            pointer_or_null<int64_t>(time),
            target.size()};
}

const Binding binding{[](py::module_& m) {
    m.def(
        "two_hop",
        [](const Array<int64_t>& users, const py::object& now, const Array<int64_t>& seed_offsets,
           const Array<int64_t>& seed, const Array<float>& seed_weight, const Array<int64_t>& item_offsets,
           const Array<int64_t>& item, const py::object& item_weight, const py::object& item_time, int64_t limit,
           bool share, int64_t k, int threads, Array<int64_t> out_offsets, Array<int64_t> out_item,
           Array<float> out_score) {
            const hr_edges seeds{seed_offsets.data(), seed_offsets.size() - 1, seed.data(), seed_weight.data(), nullptr,
                                 seed.size()};
            const hr_edges items = edges_of(item_offsets, item, item_weight, item_time);
            const int64_t batch = users.size();
            int64_t* offsets = out_offsets.mutable_data();
            run([&, u = users.data(), n = pointer_or_null<int64_t>(now), i = out_item.mutable_data(),
                 s = out_score.mutable_data()] {
                return hr_two_hop(u, n, batch, &seeds, &items, limit, share, k, threads, offsets, i, s);
            });
            return offsets[batch];
        },
        py::arg("users").noconvert(), py::arg("now").none(true), py::arg("seed_offsets").noconvert(),
        py::arg("seed").noconvert(), py::arg("seed_weight").noconvert(), py::arg("item_offsets").noconvert(),
        py::arg("item").noconvert(), py::arg("item_weight").none(true), py::arg("item_time").none(true),
        py::arg("limit"), py::arg("share"), py::arg("k"), py::arg("threads"), py::arg("out_offsets").noconvert(),
        py::arg("out_item").noconvert(), py::arg("out_score").noconvert());
}};

}  // namespace
