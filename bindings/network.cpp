#include "network/network.h"

#include <pybind11/stl.h>

#include <vector>

#include "binding.h"

namespace {

using Objects = std::vector<py::object>;
using Numbers = std::vector<int64_t>;

hr_network_stage stage_of(const py::handle& code, int64_t columns, int64_t out, int64_t width) {
    const In<int64_t> steps("code", code, {kAny, HR_NETWORK_ENCODED});
    return {steps[0], steps.data(), columns, out, width};
}

hr_network_program program_of(const Objects& floats, const Objects& code, const Numbers& n) {
    if (floats.size() < 3 || floats.size() > 4) throw py::value_error("floats: expected 3 or 4 arrays");
    if (code.size() != 2) throw py::value_error("code: expected 2 arrays");
    if (n.size() < 9) throw py::value_error("numbers: expected at least 9");
    const In<float> weights("weights", floats[0], {kAny}), items("item_rows", floats[1], {kAny, kAny});
    const In<float> codes("code_rows", floats[2], {kAny, kAny});
    const auto packed = In<float>::or_none("packed", floats.size() > 3 ? floats[3] : py::none(), {kAny});
    return {stage_of(code[0], n[0], n[1], n[2]),
            stage_of(code[1], n[3], n[4], n[5]),
            weights[0],
            weights.data(),
            items[0],
            items[1],
            items.data(),
            codes[0],
            codes[1],
            codes.data(),
            n[6],
            n[7],
            packed[0],
            packed.data()};
}

// As much of a program as packing needs.
hr_network_program layers_of(const py::handle& weights, const py::handle& pair) {
    const In<float> numbers("weights", weights, {kAny});
    hr_network_program program{};
    program.pair = stage_of(pair, 0, 0, 0);
    program.weight_count = numbers[0];
    program.weights = numbers.data();
    return program;
}

const Binding binding{[](py::module_& m) {
    m.def(
        "network_pack",
        [](const py::handle& weights, const py::handle& pair) {
            const hr_network_program program = layers_of(weights, pair);
            int64_t count = 0;
            run([&] { return hr_network_packed_count(&program, &count); });
            py::array_t<float> packed(count);
            float* out = packed.mutable_data();
            run([&] { return hr_network_pack(&program, out); });
            return packed;
        },
        py::arg("weights"), py::arg("pair"));
    m.def(
        "network",
        [](const Objects& floats, const Objects& code, const Numbers& numbers, const py::handle& inputs,
           const Objects& entries, const Objects& counts, const py::handle& offsets, const py::handle& item,
           const py::handle& codes, const py::handle& pair, int threads, const py::handle& logits) {
            const hr_network_program program = program_of(floats, code, numbers);
            const In<float> r("request", inputs, {kAny, program.request_inputs});
            const int64_t batch = r[0];
            if (entries.size() != counts.size()) throw py::value_error("counts: expected one for each sequence");
            std::vector<hr_network_sequence> sequences;
            for (size_t s = 0; s < entries.size(); ++s) {
                const In<float> held("sequences", entries[s], {batch, kAny, kAny});
                const In<int32_t> count("counts", counts[s], {batch});
                sequences.push_back({held[2], held[1], held.data(), count.data()});
            }
            const In<int64_t> o("offsets", offsets, {batch + 1}), i("item", item, {kAny});
            const In<int32_t> c("codes", codes, {i[0], kAny});
            const In<float> p("pair", pair, {i[0], program.pair_inputs});
            const Out<float> to("logits", logits, {program.pair.width, i[0]});
            const hr_network_requests requests{batch, r.data(), static_cast<int64_t>(sequences.size()),
                                               sequences.data()};
            const hr_network_candidates candidates{i[0], o.data(), i.data(), c[1], c.data(), p.data()};
            run([&] { return hr_network(&program, &requests, &candidates, threads, to.data()); });
        },
        py::arg("floats"), py::arg("code"), py::arg("numbers"), py::arg("inputs"), py::arg("entries"),
        py::arg("counts"), py::arg("offsets"), py::arg("item"), py::arg("codes"), py::arg("pair"), py::arg("threads"),
        py::arg("logits"));
}};

}  // namespace
