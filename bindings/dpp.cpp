#include "dpp/dpp.h"

#include "binding.h"

namespace {

struct Lists {
    Lists(const py::handle& vectors, const py::handle& rewards, const py::handle& offsets, const py::handle& kinds,
          const py::handle& limits, const py::handle& pinned, int64_t k)
        : v("vectors", vectors, {kAny, kAny}),
          r("rewards", rewards, {v[0]}),
          o("offsets", offsets, {kAny}),
          batch(lists_in("offsets", o[0])) {
        const auto limit = In<int64_t>::or_none("limits", limits, {kAny, 3});
        const auto kind = In<int32_t>::or_none("kinds", kinds, {limit[0], v[0]});
        const auto pin = In<int64_t>::or_none("pinned", pinned, {batch, k});
        lists = {v.data(), r.data(), o.data(), batch, v[0], v[1], kind.data(), limit.data(), limit[0], pin.data()};
    }
    const In<float> v, r;
    const In<int64_t> o;
    const int64_t batch;
    hr_lists lists{};
};

const Binding binding{[](py::module_& m) {
    m.def(
        "dpp",
        [](const py::handle& vectors, const py::handle& rewards, const py::handle& offsets, int64_t k, double theta,
           int64_t window, double eps, const py::handle& kinds, const py::handle& limits, const py::handle& pinned,
           int threads, const py::handle& picked, const py::handle& gain, const py::handle& ruled,
           const py::handle& logdet) {
            const Lists given(vectors, rewards, offsets, kinds, limits, pinned, k);
            const Out<int64_t> to("picked", picked, {given.batch, k}), rules("ruled", ruled, {given.batch, 2});
            const Out<float> gains("gain", gain, {given.batch, k}), path("logdet", logdet, {given.batch, k});
            const hr_picks picks{to.data(), gains.data(), rules.data(), path.data()};
            run([&] { return hr_dpp(&given.lists, k, theta, window, eps, threads, &picks); });
        },
        py::arg("vectors"), py::arg("rewards"), py::arg("offsets"), py::arg("k"), py::arg("theta"), py::arg("window"),
        py::arg("eps"), py::arg("kinds"), py::arg("limits"), py::arg("pinned"), py::arg("threads"), py::arg("picked"),
        py::arg("gain"), py::arg("ruled"), py::arg("logdet"));
    m.def(
        "mmr",
        [](const py::handle& vectors, const py::handle& rewards, const py::handle& offsets, int64_t k, double theta,
           int64_t window, const py::handle& kinds, const py::handle& limits, const py::handle& pinned, int threads,
           const py::handle& picked, const py::handle& gain, const py::handle& ruled) {
            const Lists given(vectors, rewards, offsets, kinds, limits, pinned, k);
            const Out<int64_t> to("picked", picked, {given.batch, k}), rules("ruled", ruled, {given.batch, 2});
            const Out<float> gains("gain", gain, {given.batch, k});
            const hr_picks picks{to.data(), gains.data(), rules.data(), nullptr};
            run([&] { return hr_mmr(&given.lists, k, theta, window, threads, &picks); });
        },
        py::arg("vectors"), py::arg("rewards"), py::arg("offsets"), py::arg("k"), py::arg("theta"), py::arg("window"),
        py::arg("kinds"), py::arg("limits"), py::arg("pinned"), py::arg("threads"), py::arg("picked"), py::arg("gain"),
        py::arg("ruled"));
}};

}  // namespace
