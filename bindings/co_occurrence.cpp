#include "co_occurrence/co_occurrence.h"

#include <algorithm>

#include "binding.h"

namespace {

struct Likes {
    In<int64_t> offsets, item;
    In<double> weight;
    In<bool> kept;
    hr_likes all;

    Likes(const py::handle& o, const py::handle& i, const py::handle& w, const py::handle& k, int64_t items)
        : offsets("offsets", o, {kAny}),
          item("item", i, {kAny}),
          weight(In<double>::or_none("weight", w, {item[0]})),
          kept(In<bool>::or_none("kept", k, {items})),
          all{offsets.data(),
              lists_in("offsets", offsets[0]),
              item.data(),
              weight.data(),
              item[0],
              items,
              reinterpret_cast<const uint8_t*>(kept.data())} {}
};

struct Found {
    Out<int64_t> offsets, item;
    Out<float> score;

    Found(const py::handle& o, const py::handle& i, const py::handle& s, int64_t items, int64_t k)
        : offsets("out_offsets", o, {items + 1}),
          item("out_item", i, {product("out_item", items, std::max<int64_t>(std::min(k, items), 0))}),
          score("out_score", s, {item[0]}) {}
};

const Binding binding{[](py::module_& m) {
    m.def(
        "co_occurrence",
        [](const py::handle& offsets, const py::handle& item, const py::handle& weight, const py::handle& row,
           const py::handle& column, const py::handle& kept, int64_t items, bool cosine, double shrink,
           int64_t min_common, int64_t k, int threads, const py::handle& out_offsets, const py::handle& out_item,
           const py::handle& out_score) {
            if (items < 0) throw py::value_error("items: expected at least 0, got " + std::to_string(items));
            const Likes likes(offsets, item, weight, kept, items);
            const auto r = In<double>::or_none("row", row, {items}), c = In<double>::or_none("column", column, {items});
            const hr_closeness_formula formula{cosine, shrink, r.data(), c.data(), min_common};
            const Found found(out_offsets, out_item, out_score, items, k);
            run([&] {
                return hr_co_occurrence(&likes.all, &formula, k, threads, found.offsets.data(), found.item.data(),
                                        found.score.data());
            });
            return found.offsets.data()[items];
        },
        py::arg("offsets"), py::arg("item"), py::arg("weight"), py::arg("row"), py::arg("column"), py::arg("kept"),
        py::arg("items"), py::arg("cosine"), py::arg("shrink"), py::arg("min_common"), py::arg("k"), py::arg("threads"),
        py::arg("out_offsets"), py::arg("out_item"), py::arg("out_score"));
    m.def(
        "swing",
        [](const py::handle& offsets, const py::handle& item, const py::handle& kept, int64_t items, double alpha,
           int64_t k, int threads, const py::handle& out_offsets, const py::handle& out_item,
           const py::handle& out_score) {
            if (items < 0) throw py::value_error("items: expected at least 0, got " + std::to_string(items));
            const Likes likes(offsets, item, py::none(), kept, items);
            const Found found(out_offsets, out_item, out_score, items, k);
            run([&] {
                return hr_swing(&likes.all, alpha, k, threads, found.offsets.data(), found.item.data(),
                                found.score.data());
            });
            return found.offsets.data()[items];
        },
        py::arg("offsets"), py::arg("item"), py::arg("kept"), py::arg("items"), py::arg("alpha"), py::arg("k"),
        py::arg("threads"), py::arg("out_offsets"), py::arg("out_item"), py::arg("out_score"));
}};

}  // namespace
