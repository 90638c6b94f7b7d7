#include "mixture_of_experts/mixture_of_experts.h"

#include <pybind11/stl.h>

#include "binding.h"

namespace {

using Floats = std::vector<Array<float>>;

hr_mixture_model model_of(const Floats& w, const std::vector<int64_t>& sizes) {
    hr_mixture_model model{};
    int64_t* const size[] = {&model.targets,    &model.experts, &model.hidden,   &model.units,
                             &model.head_units, &model.dim,     &model.attention};
    for (size_t i = 0; i < 7; ++i) *size[i] = sizes.at(i);
    const float** const weight[] = {
        &model.request_weight, &model.item_rows,   &model.code_rows, &model.candidate_weight, &model.expert_weight,
        &model.expert_bias,    &model.head_weight, &model.head_bias, &model.out_weight,       &model.out_bias};
    for (size_t i = 0; i < 10; ++i) *weight[i] = w.at(i).data();
    model.request_width = w[0].shape(0);
    model.items = w[1].shape(0);
    model.codes = w[2].shape(0);
    model.dynamic_width = w[3].shape(0) - model.dim * (1 + model.attention);
    return model;
}

const Binding binding{[](py::module_& m) {
    m.def(
        "mixture_of_experts",
        [](const Floats& weights, const std::vector<int64_t>& sizes, Array<float> inputs, Array<float> taste,
           Array<float> behaviours, Array<int32_t> counts, Array<int64_t> offsets, Array<int64_t> item,
           Array<int32_t> codes, Array<float> dynamic, int threads, Array<float> logits) {
            const hr_mixture_model model = model_of(weights, sizes);
            const hr_mixture_requests requests{inputs.shape(0),     inputs.data(),     taste.data(),
                                               behaviours.shape(1), behaviours.data(), counts.data()};
            const hr_mixture_candidates candidates{item.shape(0),  offsets.data(), item.data(),
                                                   codes.shape(1), codes.data(),   dynamic.data()};
            run([&] { return hr_mixture_of_experts(&model, &requests, &candidates, threads, logits.mutable_data()); });
        },
        py::arg("weights").noconvert(), py::arg("sizes"), py::arg("inputs").noconvert(), py::arg("taste").noconvert(),
        py::arg("behaviours").noconvert(), py::arg("counts").noconvert(), py::arg("offsets").noconvert(),
        py::arg("item").noconvert(), py::arg("codes").noconvert(), py::arg("dynamic").noconvert(), py::arg("threads"),
        py::arg("logits").noconvert());
}};

}  // namespace
