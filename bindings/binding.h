// What every binding shares: registration, statuses as Python exceptions, and pointers out of arrays.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "core/abi.h"

namespace py = pybind11;

// A contiguous array of exactly this type; anything else is a TypeError, never a copy.
template <class T>
using Array = py::array_t<T, py::array::c_style>;

// Each file registers itself, so that adding an op touches no list.
struct Binding {
    using Fn = void (*)(py::module_&);
    explicit Binding(Fn fn) { all().push_back(fn); }
    static std::vector<Fn>& all() {
        static std::vector<Fn> fns;
        return fns;
    }
};

inline void check(hr_status status) {
    if (status == HR_OK) return;
    const std::string message = hr_last_error();
    if (status == HR_INVALID) throw py::value_error(message);
    if (status == HR_NO_MEMORY) throw std::bad_alloc();
    if (status == HR_IO) {
        PyErr_SetString(PyExc_OSError, message.c_str());
        throw py::error_already_set();
    }
    throw std::runtime_error(message);
}

// Calls the C function with the GIL released and turns its status into an exception.
template <class Call>
void run(Call&& call) {
    hr_status status;
    {
        py::gil_scoped_release release;
        status = call();
    }
    check(status);
}

// Null for None.
template <class T>
const T* pointer_or_null(const py::object& array) {
    if (array.is_none()) return nullptr;
    if (!py::isinstance<Array<T>>(array)) throw py::type_error("expected a contiguous array of the kernel's type");
    return py::cast<Array<T>>(array).data();
}
