#include "embedding_bag/embedding_bag.h"

#include "binding.h"

namespace {

static_assert(sizeof(hr_embedding_table) == 5 * sizeof(int64_t), "a row of the layout array");

struct Values {
    const void* data;
    int64_t count;
};

template <class T>
Values values_as(const py::handle& values) {
    const In<T> numbers("values", values, {kAny});
    return {numbers.data(), numbers[0]};
}

Values values_of(const py::handle& values, int dtype) {
    if (dtype == HR_EMBEDDING_FLOAT32) return values_as<float>(values);
    if (dtype == HR_EMBEDDING_BFLOAT16) return values_as<int16_t>(values);
    if (dtype == HR_EMBEDDING_INT8) return values_as<int8_t>(values);
    throw py::value_error("dtype: expected 0, 1 or 2, got " + std::to_string(dtype));
}

const Binding binding{[](py::module_& m) {
    m.def(
        "embedding_bag",
        [](const py::handle& values, const py::handle& scales, int dtype, const py::handle& layout,
           const py::handle& indices, const py::handle& offsets, const py::handle& weights, int pooling, int threads,
           const py::handle& out) {
            const Values v = values_of(values, dtype);
            const In<float> s("scales", scales, {kAny});
            const In<int64_t> places("layout", layout, {kAny, 5}), i("indices", indices, {kAny});
            const Out<float> to("out", out, {kAny, kAny});
            const In<int64_t> o("offsets", offsets, {product("offsets", places[0], to[0]) + 1});
            const auto w = In<float>::or_none("weights", weights, {i[0]});
            const auto* table = reinterpret_cast<const hr_embedding_table*>(places.data());
            const hr_embedding_tables tables{v.data, v.count, s.data(), s[0], dtype, table, places[0]};
            run([&] {
                return hr_embedding_bag(&tables, i.data(), i[0], o.data(), to[0], w.data(), pooling, threads, to[1],
                                        to.data());
            });
        },
        py::arg("values"), py::arg("scales"), py::arg("dtype"), py::arg("layout"), py::arg("indices"),
        py::arg("offsets"), py::arg("weights"), py::arg("pooling"), py::arg("threads"), py::arg("out"));
}};

}  // namespace
