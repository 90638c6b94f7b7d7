#include "bloom/bloom.h"

#include <pybind11/stl.h>

#include "binding.h"

namespace {

hr_bloom_bank bank_of(Array<int64_t>& bits, int hashes, int layout) {
    return {reinterpret_cast<uint64_t*>(bits.mutable_data()), bits.shape(0), bits.shape(1), hashes, layout};
}

const Binding binding{[](py::module_& m) {
    m.def(
        "bloom_insert",
        [](Array<int64_t> bits, const Array<int64_t>& rows, const Array<int64_t>& keys, int hashes, int layout,
           int threads) {
            const hr_bloom_bank bank = bank_of(bits, hashes, layout);
            run([&, r = rows.data(), k = keys.data(), n = keys.size()] {
                return hr_bloom_insert(&bank, r, k, n, threads);
            });
        },
        py::arg("bits").noconvert(), py::arg("rows").noconvert(), py::arg("keys").noconvert(), py::arg("hashes"),
        py::arg("layout"), py::arg("threads"));
    m.def(
        "bloom_contains",
        [](Array<int64_t> bits, const Array<int64_t>& rows, const Array<int64_t>& keys, int hashes, int layout,
           int threads, Array<bool> seen) {
            const hr_bloom_bank bank = bank_of(bits, hashes, layout);
            auto* out = reinterpret_cast<uint8_t*>(seen.mutable_data());
            run([&, r = rows.data(), fan = rows.shape(1), k = keys.data(), n = keys.size()] {
                return hr_bloom_contains(&bank, r, fan, k, n, threads, out);
            });
        },
        py::arg("bits").noconvert(), py::arg("rows").noconvert(), py::arg("keys").noconvert(), py::arg("hashes"),
        py::arg("layout"), py::arg("threads"), py::arg("seen").noconvert());
    m.def(
        "bloom_contains_lists",
        [](std::vector<Array<int64_t>> bits, const std::vector<Array<int32_t>>& rows, const std::vector<int>& hashes,
           int layout, const Array<int64_t>& offsets, const Array<int64_t>& keys, int threads, Array<bool> seen) {
            std::vector<hr_bloom_lists> banks;
            for (size_t c = 0; c < bits.size(); ++c)
                banks.push_back({bank_of(bits[c], hashes[c], layout), rows[c].data(), rows[c].shape(1)});
            auto* out = reinterpret_cast<uint8_t*>(seen.mutable_data());
            run([&, o = offsets.data(), lists = offsets.size() - 1, k = keys.data(), n = keys.size()] {
                return hr_bloom_contains_lists(banks.data(), static_cast<int64_t>(banks.size()), o, lists, k, n,
                                               threads, out);
            });
        },
        py::arg("bits").noconvert(), py::arg("rows").noconvert(), py::arg("hashes"), py::arg("layout"),
        py::arg("offsets").noconvert(), py::arg("keys").noconvert(), py::arg("threads"), py::arg("seen").noconvert());
}};

}  // namespace
