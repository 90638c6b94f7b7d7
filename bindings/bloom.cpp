#include "bloom/bloom.h"

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
}};

}  // namespace
