#include "network/network.h"

#include <pybind11/stl.h>

#include "binding.h"

namespace {

using Floats = std::vector<Array<float>>;
using Codes = std::vector<Array<int64_t>>;

hr_network_stage stage_of(const Array<int64_t>& code, const std::vector<int64_t>& numbers, size_t first) {
    if (code.ndim() != 2 || code.shape(1) != HR_NETWORK_ENCODED) throw py::value_error("code: expected 12 columns");
    return {code.shape(0), code.data(), numbers.at(first), numbers.at(first + 1), numbers.at(first + 2)};
}

hr_network_program program_of(const Floats& floats, const Codes& code, const std::vector<int64_t>& numbers) {
    const Array<float>&weights = floats.at(0), &items = floats.at(1), &codes = floats.at(2);
    return {stage_of(code.at(0), numbers, 0),
            stage_of(code.at(1), numbers, 3),
            weights.shape(0),
            weights.data(),
            items.shape(0),
            items.shape(1),
            items.data(),
            codes.shape(0),
            codes.shape(1),
            codes.data(),
            numbers.at(6),
            numbers.at(7),
            floats.size() > 3 ? floats[3].shape(0) : 0,
            floats.size() > 3 ? floats[3].data() : nullptr};
}

// As much of a program as packing needs.
hr_network_program layers_of(const Array<float>& weights, const Array<int64_t>& pair) {
    hr_network_program program{};
    program.pair = stage_of(pair, {0, 0, 0}, 0);
    program.weight_count = weights.shape(0);
    program.weights = weights.data();
    return program;
}

const Binding binding{[](py::module_& m) {
    m.def(
        "network_pack",
        [](Array<float> weights, Array<int64_t> pair) {
            const hr_network_program program = layers_of(weights, pair);
            int64_t count = 0;
            run([&] { return hr_network_packed_count(&program, &count); });
            Array<float> packed(count);
            float* out = packed.mutable_data();
            run([&] { return hr_network_pack(&program, out); });
            return packed;
        },
        py::arg("weights").noconvert(), py::arg("pair").noconvert());
    m.def(
        "network",
        [](const Floats& floats, const Codes& code, const std::vector<int64_t>& numbers, Array<float> inputs,
           const Floats& entries, const std::vector<Array<int32_t>>& counts, Array<int64_t> offsets,
           Array<int64_t> item, Array<int32_t> codes, Array<float> pair, int threads, Array<float> logits) {
            const hr_network_program program = program_of(floats, code, numbers);
            std::vector<hr_network_sequence> sequences;
            for (size_t s = 0; s < entries.size(); ++s)
                sequences.push_back({entries[s].shape(2), entries[s].shape(1), entries[s].data(), counts.at(s).data()});
            const hr_network_requests requests{inputs.shape(0), inputs.data(), static_cast<int64_t>(sequences.size()),
                                               sequences.data()};
            const hr_network_candidates candidates{item.shape(0),  offsets.data(), item.data(),
                                                   codes.shape(1), codes.data(),   pair.data()};
            run([&] { return hr_network(&program, &requests, &candidates, threads, logits.mutable_data()); });
        },
        py::arg("floats").noconvert(), py::arg("code").noconvert(), py::arg("numbers"), py::arg("inputs").noconvert(),
        py::arg("entries").noconvert(), py::arg("counts").noconvert(), py::arg("offsets").noconvert(),
        py::arg("item").noconvert(), py::arg("codes").noconvert(), py::arg("pair").noconvert(), py::arg("threads"),
        py::arg("logits").noconvert());
}};

}  // namespace
