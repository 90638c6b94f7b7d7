#include "beam_search/beam_search.h"

#include "binding.h"

namespace {

const Binding binding{[](py::module_& m) {
    m.def(
        "beam_search",
        [](Array<float> user, Array<double> user_weight, Array<double> hidden_bias, Array<double> tables,
           Array<double> output_weight, Array<double> output_bias, int64_t nodes, int64_t beam, int threads,
           Array<int32_t> paths, Array<float> logp) {
            hr_path_model model{};
            model.depth = hidden_bias.shape(0);
            model.nodes = nodes;
            model.user_dim = user.shape(1);
            model.hidden = hidden_bias.shape(1);
            model.user_weight = user_weight.data();
            model.hidden_bias = hidden_bias.data();
            model.tables = tables.data();
            model.output_weight = output_weight.data();
            model.output_bias = output_bias.data();
            run([&] {
                return hr_beam_search(&model, user.data(), user.shape(0), beam, threads, paths.mutable_data(),
                                      logp.mutable_data());
            });
        },
        py::arg("user").noconvert(), py::arg("user_weight").noconvert(), py::arg("hidden_bias").noconvert(),
        py::arg("tables").noconvert(), py::arg("output_weight").noconvert(), py::arg("output_bias").noconvert(),
        py::arg("nodes"), py::arg("beam"), py::arg("threads"), py::arg("paths").noconvert(),
        py::arg("logp").noconvert());
}};

}  // namespace
