#include "two_hop/two_hop.h"

#include <algorithm>

#include "binding.h"

namespace {

hr_edges edges_of(const In<int64_t>& offsets, const char* name, const In<int64_t>& target, const In<float>& weight,
                  const In<int64_t>* time) {
    return {offsets.data(), lists_in(name, offsets[0]),    target.data(),
            weight.data(),  time ? time->data() : nullptr, target[0]};
}

const Binding binding{[](py::module_& m) {
    m.def(
        "two_hop",
        [](const py::handle& users, const py::handle& now, const py::handle& seed_offsets, const py::handle& seed,
           const py::handle& seed_weight, const py::handle& item_offsets, const py::handle& item,
           const py::handle& item_weight, const py::handle& item_time, int64_t limit, bool share, int64_t k,
           int threads, const py::handle& out_offsets, const py::handle& out_item, const py::handle& out_score) {
            const In<int64_t> u("users", users, {kAny});
            const auto at = In<int64_t>::or_none("now", now, {u[0]});
            const In<int64_t> so("seed_offsets", seed_offsets, {kAny}), s("seed", seed, {kAny});
            const In<float> sw("seed_weight", seed_weight, {s[0]});
            const In<int64_t> io("item_offsets", item_offsets, {kAny}), i("item", item, {kAny});
            const auto iw = In<float>::or_none("item_weight", item_weight, {i[0]});
            const auto it = In<int64_t>::or_none("item_time", item_time, {i[0]});
            const hr_edges seeds = edges_of(so, "seed_offsets", s, sw, nullptr);
            const hr_edges items = edges_of(io, "item_offsets", i, iw, &it);
            const int64_t room = product("out_item", u[0], std::max<int64_t>(std::min(k, i[0]), 0));
            const Out<int64_t> kept("out_offsets", out_offsets, {u[0] + 1}), found("out_item", out_item, {room});
            const Out<float> score("out_score", out_score, {room});
            run([&] {
                return hr_two_hop(u.data(), at.data(), u[0], &seeds, &items, limit, share, k, threads, kept.data(),
                                  found.data(), score.data());
            });
            return kept.data()[u[0]];
        },
        py::arg("users"), py::arg("now"), py::arg("seed_offsets"), py::arg("seed"), py::arg("seed_weight"),
        py::arg("item_offsets"), py::arg("item"), py::arg("item_weight"), py::arg("item_time"), py::arg("limit"),
        py::arg("share"), py::arg("k"), py::arg("threads"), py::arg("out_offsets"), py::arg("out_item"),
        py::arg("out_score"));
}};

}  // namespace
