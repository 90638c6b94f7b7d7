#include "bloom/bloom.h"

#include <pybind11/stl.h>

#include <vector>

#include "binding.h"

namespace {

// Only an insert writes to its bits.
template <class Words>
hr_bloom_bank bank_of(const Words& bits, int hashes, int layout) {
    return {reinterpret_cast<uint64_t*>(const_cast<int64_t*>(bits.data())), bits[0], bits[1], hashes, layout};
}

const Binding binding{[](py::module_& m) {
    m.def(
        "bloom_insert",
        [](const py::handle& bits, const py::handle& rows, const py::handle& keys, int hashes, int layout,
           int threads) {
            const Out<int64_t> words("bits", bits, {kAny, kAny});
            const In<int64_t> k("keys", keys, {kAny}), r("rows", rows, {k[0]});
            const hr_bloom_bank bank = bank_of(words, hashes, layout);
            run([&] { return hr_bloom_insert(&bank, r.data(), k.data(), k[0], threads); });
        },
        py::arg("bits"), py::arg("rows"), py::arg("keys"), py::arg("hashes"), py::arg("layout"), py::arg("threads"));
    m.def(
        "bloom_contains",
        [](const py::handle& bits, const py::handle& rows, const py::handle& keys, int hashes, int layout, int threads,
           const py::handle& seen) {
            const In<int64_t> words("bits", bits, {kAny, kAny}), k("keys", keys, {kAny}), r("rows", rows, {k[0], kAny});
            const Out<bool> out("seen", seen, {k[0]});
            const hr_bloom_bank bank = bank_of(words, hashes, layout);
            auto* to = reinterpret_cast<uint8_t*>(out.data());
            run([&] { return hr_bloom_contains(&bank, r.data(), r[1], k.data(), k[0], threads, to); });
        },
        py::arg("bits"), py::arg("rows"), py::arg("keys"), py::arg("hashes"), py::arg("layout"), py::arg("threads"),
        py::arg("seen"));
    m.def(
        "bloom_contains_lists",
        [](const std::vector<py::object>& bits, const std::vector<py::object>& rows, const std::vector<int>& hashes,
           int layout, const py::handle& offsets, const py::handle& keys, int threads, const py::handle& seen) {
            if (bits.size() != rows.size() || bits.size() != hashes.size())
                throw py::value_error("rows, hashes: expected one for each bank");
            const In<int64_t> o("offsets", offsets, {kAny}), k("keys", keys, {kAny});
            const int64_t lists = lists_in("offsets", o[0]);
            std::vector<hr_bloom_lists> banks;
            for (size_t c = 0; c < bits.size(); ++c) {
                const In<int64_t> words("bits", bits[c], {kAny, kAny});
                const In<int32_t> r("rows", rows[c], {lists, kAny});
                banks.push_back({bank_of(words, hashes[c], layout), r.data(), r[1]});
            }
            const Out<bool> out("seen", seen, {k[0]});
            auto* to = reinterpret_cast<uint8_t*>(out.data());
            run([&] {
                return hr_bloom_contains_lists(banks.data(), static_cast<int64_t>(banks.size()), o.data(), lists,
                                               k.data(), k[0], threads, to);
            });
        },
        py::arg("bits"), py::arg("rows"), py::arg("hashes"), py::arg("layout"), py::arg("offsets"), py::arg("keys"),
        py::arg("threads"), py::arg("seen"));
}};

}  // namespace
