#include "three_towers/three_towers.h"

#include <pybind11/stl.h>

#include "binding.h"

namespace {

using Floats = std::vector<Array<float>>;

hr_towers_model model_of(const Floats& w, const std::vector<int64_t>& sizes) {
    hr_towers_model model{};
    int64_t* const size[] = {&model.targets, &model.dim, &model.tower_units, &model.upper_units};
    for (size_t i = 0; i < 4; ++i) *size[i] = sizes.at(i);
    const float** const weight[] = {&model.tower_weight,   &model.tower_bias,   &model.vector_weight,
                                    &model.vector_bias,    &model.user_weight,  &model.upper_bias,
                                    &model.request_weight, &model.item_rows,    &model.code_rows,
                                    &model.dynamic_weight, &model.upper_weight, &model.last_weight};
    for (size_t i = 0; i < 12; ++i) *weight[i] = w.at(i).data();
    model.request_width = w[0].shape(0);
    model.items = w[7].shape(0);
    model.codes = w[8].shape(0);
    model.dynamic_width = w[9].shape(0);
    return model;
}

const Binding binding{[](py::module_& m) {
    m.def(
        "three_towers",
        [](const Floats& weights, const std::vector<int64_t>& sizes, Array<float> request, Array<int64_t> offsets,
           Array<int64_t> item, Array<int32_t> codes, Array<float> dynamic, int threads, Array<float> logits) {
            const hr_towers_model model = model_of(weights, sizes);
            const hr_towers_candidates candidates{item.shape(0),  offsets.data(), item.data(),
                                                  codes.shape(1), codes.data(),   dynamic.data()};
            run([&] {
                return hr_three_towers(&model, request.shape(0), request.data(), &candidates, threads,
                                       logits.mutable_data());
            });
        },
        py::arg("weights").noconvert(), py::arg("sizes"), py::arg("request").noconvert(),
        py::arg("offsets").noconvert(), py::arg("item").noconvert(), py::arg("codes").noconvert(),
        py::arg("dynamic").noconvert(), py::arg("threads"), py::arg("logits").noconvert());
}};

}  // namespace
