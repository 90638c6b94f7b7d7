#include "beam_search/beam_search.h"

#include "binding.h"

namespace {

constexpr int64_t kLanes = 8;  // of a packed matrix

const Binding binding{[](py::module_& m) {
    m.def(
        "beam_search",
        [](const py::handle& user, const py::handle& user_weight, const py::handle& hidden_bias,
           const py::handle& tables, const py::handle& output_weight, const py::handle& output_bias, int64_t nodes,
           int64_t beam, int threads, const py::handle& paths, const py::handle& logp) {
            if (nodes < 1 || nodes > INT32_MAX) throw py::value_error("nodes: expected 1 to 2^31 - 1");
            const int64_t panels = (nodes + kLanes - 1) / kLanes;
            const In<float> u("user", user, {kAny, kAny});
            const In<double> b1("hidden_bias", hidden_bias, {kAny, kAny});
            const int64_t depth = b1[0], hidden = b1[1];
            if (depth < 1 || depth > 62) throw py::value_error("hidden_bias: expected 1 to 62 layers");
            const In<double> w1("user_weight", user_weight, {depth, hidden / kLanes, u[1], kLanes});
            const In<double> t("tables", tables, {depth * (depth - 1) / 2, nodes, hidden});
            const In<double> w2("output_weight", output_weight, {depth, panels, hidden, kLanes});
            const In<double> b2("output_bias", output_bias, {depth, panels * kLanes});
            const Out<int32_t> to("paths", paths, {u[0], beam, depth});
            const Out<float> to_logp("logp", logp, {u[0], beam});
            const hr_path_model model{depth, nodes, u[1], hidden, w1.data(), b1.data(), t.data(), w2.data(), b2.data()};
            run([&] { return hr_beam_search(&model, u.data(), u[0], beam, threads, to.data(), to_logp.data()); });
        },
        py::arg("user"), py::arg("user_weight"), py::arg("hidden_bias"), py::arg("tables"), py::arg("output_weight"),
        py::arg("output_bias"), py::arg("nodes"), py::arg("beam"), py::arg("threads"), py::arg("paths"),
        py::arg("logp"));
}};

}  // namespace
