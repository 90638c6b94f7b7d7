#include "ceilings/ceilings.h"

#include "binding.h"

namespace {

const Binding binding{[](py::module_& m) {
    m.def(
        "memory_ceiling",
        [](int pattern, int64_t bytes, int threads, double seconds) {
            double rate = 0;
            const char* how = "";
            run([&] { return hr_memory_ceiling(pattern, bytes, threads, seconds, &rate, &how); });
            return py::make_tuple(rate, how);
        },
        py::arg("pattern"), py::arg("bytes"), py::arg("threads"), py::arg("seconds"));
    m.def(
        "matrix_ceiling",
        [](int number, int threads, double seconds) {
            double rate = 0;
            const char* how = "";
            run([&] { return hr_matrix_ceiling(number, threads, seconds, &rate, &how); });
            return py::make_tuple(rate, how);
        },
        py::arg("number"), py::arg("threads"), py::arg("seconds"));
}};

}  // namespace
