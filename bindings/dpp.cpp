#include "dpp/dpp.h"

#include "binding.h"

namespace {

hr_lists lists_of(const Array<float>& vectors, const Array<float>& rewards, const Array<int64_t>& offsets,
                  const py::object& kinds, const py::object& limits, const py::object& pinned) {
    hr_lists lists{};
    lists.vectors = vectors.data();
    lists.rewards = rewards.data();
    lists.offsets = offsets.data();
    lists.batch = offsets.shape(0) - 1;
    lists.items = vectors.shape(0);
    lists.width = vectors.shape(1);
    lists.kinds = pointer_or_null<int32_t>(kinds);
    lists.limits = pointer_or_null<int64_t>(limits);
    lists.rules = limits.is_none() ? 0 : py::cast<py::array>(limits).shape(0);
    lists.pinned = pointer_or_null<int64_t>(pinned);
    return lists;
}

const Binding binding{[](py::module_& m) {
    m.def(
        "dpp",
        [](Array<float> vectors, Array<float> rewards, Array<int64_t> offsets, int64_t k, double theta, int64_t window,
           double eps, py::object kinds, py::object limits, py::object pinned, int threads, Array<int64_t> picked,
           Array<float> gain, Array<int64_t> ruled, Array<float> logdet) {
            const hr_lists lists = lists_of(vectors, rewards, offsets, kinds, limits, pinned);
            const hr_picks picks{picked.mutable_data(), gain.mutable_data(), ruled.mutable_data(),
                                 logdet.mutable_data()};
            run([&] { return hr_dpp(&lists, k, theta, window, eps, threads, &picks); });
        },
        py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg("k"), py::arg("theta"),
        py::arg("window"), py::arg("eps"), py::arg("kinds"), py::arg("limits"), py::arg("pinned"), py::arg("threads"),
        py::arg("picked").noconvert(), py::arg("gain").noconvert(), py::arg("ruled").noconvert(),
        py::arg("logdet").noconvert());
    m.def(
        "mmr",
        [](Array<float> vectors, Array<float> rewards, Array<int64_t> offsets, int64_t k, double theta, int64_t window,
           py::object kinds, py::object limits, py::object pinned, int threads, Array<int64_t> picked,
           Array<float> gain, Array<int64_t> ruled) {
            const hr_lists lists = lists_of(vectors, rewards, offsets, kinds, limits, pinned);
            const hr_picks picks{picked.mutable_data(), gain.mutable_data(), ruled.mutable_data(), nullptr};
            run([&] { return hr_mmr(&lists, k, theta, window, threads, &picks); });
        },
        py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg("k"), py::arg("theta"),
        py::arg("window"), py::arg("kinds"), py::arg("limits"), py::arg("pinned"), py::arg("threads"),
        py::arg("picked").noconvert(), py::arg("gain").noconvert(), py::arg("ruled").noconvert());
}};

}  // namespace
