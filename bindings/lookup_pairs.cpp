#include "lookup_pairs/lookup_pairs.h"

#include <pybind11/stl.h>

#include <tuple>
#include <vector>

#include "binding.h"

namespace {

// offsets, codes, rows and the items' codes of one table.
using Columns = std::tuple<py::object, py::object, py::object, py::object>;

hr_pair_table table_of(const Columns& columns) {
    const auto& [offsets, codes, rows, item_code] = columns;
    const In<int64_t> o("tables: offsets", offsets, {kAny});
    const In<int32_t> c("tables: codes", codes, {kAny});
    const In<float> r("tables: rows", rows, {c[0] + 1, kAny});
    const auto i = In<int32_t>::or_none("tables: item_code", item_code, {kAny});
    return {o.data(), lists_in("tables: offsets", o[0]), c.data(), c[0], r.data(), r[1], i.data(), i[0]};
}

const Binding binding{[](py::module_& m) {
    m.def(
        "lookup_pairs",
        [](const std::vector<Columns>& columns, const py::handle& key, const py::handle& offsets,
           const py::handle& item, int threads, const py::handle& out) {
            std::vector<hr_pair_table> tables;
            int64_t width = 0;
            for (const Columns& one : columns) width += tables.emplace_back(table_of(one)).width;
            const In<int64_t> o("offsets", offsets, {kAny}), i("item", item, {kAny});
            const int64_t batch = lists_in("offsets", o[0]), count = static_cast<int64_t>(tables.size());
            const In<int64_t> k("keys", key, {count, batch});
            const Out<float> to("out", out, {i[0], width});
            run([&] {
                return hr_lookup_pairs(tables.data(), count, k.data(), batch, o.data(), i.data(), i[0], threads,
                                       to.data());
            });
        },
        py::arg("columns"), py::arg("key"), py::arg("offsets"), py::arg("item"), py::arg("threads"), py::arg("out"));
}};

}  // namespace
