#include "lookup_pairs/lookup_pairs.h"

#include <pybind11/stl.h>

#include <tuple>
#include <vector>

#include "binding.h"

namespace {

// offsets, codes, rows and the items' codes of one table.
using Columns = std::tuple<Array<int64_t>, Array<int32_t>, Array<float>, py::object>;

hr_pair_table table_of(const Columns& columns) {
    const auto& [offsets, codes, rows, item_code] = columns;
    const int64_t items = item_code.is_none() ? 0 : py::len(item_code);
    if (rows.shape(0) != codes.size() + 1) throw py::value_error("tables: expected a row more than codes");
    return {offsets.data(),
            offsets.size() - 1,
            codes.data(),
            codes.size(),
            rows.data(),
            rows.shape(1),
            pointer_or_null<int32_t>(item_code),
            items};
}

const Binding binding{[](py::module_& m) {
    m.def(
        "lookup_pairs",
        [](const std::vector<Columns>& columns, const Array<int64_t>& key, const Array<int64_t>& offsets,
           const Array<int64_t>& item, int threads, Array<float> out) {
            std::vector<hr_pair_table> tables;
            for (const Columns& one : columns) tables.push_back(table_of(one));
            run([&, k = key.data(), batch = offsets.size() - 1, o = offsets.data(), i = item.data(), n = item.size(),
                 to = out.mutable_data()] {
                return hr_lookup_pairs(tables.data(), static_cast<int64_t>(tables.size()), k, batch, o, i, n, threads,
                                       to);
            });
        },
        py::arg("columns"), py::arg("key").noconvert(), py::arg("offsets").noconvert(), py::arg("item").noconvert(),
        py::arg("threads"), py::arg("out").noconvert());
}};

}  // namespace
