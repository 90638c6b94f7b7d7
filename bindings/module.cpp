// headrace._C: the process settings, and every op's binding.
#include "binding.h"

PYBIND11_MODULE(_C, m) {
    m.doc() = "Native kernels of headrace. Use headrace.kernels.";
    m.def("isa_usable", [](int level) { return hr_isa_usable(level) != 0; });
    m.def("get_isa", [] {
        hr_isa level;
        check(hr_get_isa(&level));
        return static_cast<int>(level);
    });
    m.def("set_isa", [](int level) { check(hr_set_isa(level)); });
    m.def("get_threads", [] {
        int threads;
        check(hr_get_threads(&threads));
        return threads;
    });
    m.def("set_threads", [](int threads) { check(hr_set_threads(threads)); });
    for (auto* bind : Binding::all()) bind(m);
}
