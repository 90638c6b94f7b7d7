#include "pool_items/pool_items.h"

#include "binding.h"

namespace {

const Binding binding{[](py::module_& m) {
    m.def(
        "pool_items",
        [](const py::handle& offsets, const py::handle& item, const py::handle& score, const py::handle& limits,
           double constant, int64_t k, int threads, const py::handle& out_offsets, const py::handle& out_item,
           const py::handle& out_score, const py::handle& out_lists, const py::handle& out_rank) {
            const In<int64_t> o("offsets", offsets, {kAny, kAny}), i("item", item, {kAny});
            const auto s = In<double>::or_none("score", score, {i[0]});
            const In<int64_t> most("limits", limits, {o[0]});
            const hr_item_lists lists{o.data(),    o[0],    lists_in("offsets", o[1]), i.data(), s.data(), i[0],
                                      most.data(), constant};
            const Out<int64_t> kept("out_offsets", out_offsets, {o[1]}), found("out_item", out_item, {kAny});
            const Out<float> total("out_score", out_score, {found[0]});
            const Out<int64_t> bits("out_lists", out_lists, {found[0]});
            const auto rank = Out<int32_t>::or_none("out_rank", out_rank, {found[0], o[0]});
            run([&] {
                return hr_pool_items(&lists, k, threads, found[0], kept.data(), found.data(), total.data(), bits.data(),
                                     rank.data());
            });
        },
        py::arg("offsets"), py::arg("item"), py::arg("score"), py::arg("limits"), py::arg("constant"), py::arg("k"),
        py::arg("threads"), py::arg("out_offsets"), py::arg("out_item"), py::arg("out_score"), py::arg("out_lists"),
        py::arg("out_rank"));
}};

}  // namespace
