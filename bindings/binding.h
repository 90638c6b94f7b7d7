// What every binding shares: registration, statuses as Python exceptions, and pointers out of arrays.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

#include "core/abi.h"

namespace py = pybind11;

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

// Any size, in the shape that an argument must have.
constexpr int64_t kAny = -1;

inline std::string words_of(const int64_t* shape, size_t axes) {
    std::string words = "[";
    for (size_t axis = 0; axis < axes; ++axis)
        words += (axis ? ", " : "") + (shape[axis] == kAny ? std::string("any") : std::to_string(shape[axis]));
    return words + "]";
}

// The memory of an argument: a contiguous array of exactly T and of this shape. Anything else is a TypeError or a
// ValueError that names the argument, never a copy. It must live as long as the call.
template <class T>
class Given {
    using Value = std::remove_const_t<T>;

  public:
    Given(const char* name, const py::handle& value, std::initializer_list<int64_t> shape) {
        if (!py::isinstance<py::array>(value))
            throw py::type_error(std::string(name) + ": expected an array, got " + Py_TYPE(value.ptr())->tp_name);
        const auto array = py::reinterpret_borrow<py::array>(value);
        if (!py::isinstance<py::array_t<Value, py::array::c_style>>(array))
            throw py::type_error(std::string(name) + ": expected a contiguous array of " +
                                 std::string(py::str(py::dtype::of<Value>())) + ", got one of " +
                                 std::string(py::str(array.dtype())));
        bool fits = array.ndim() == static_cast<py::ssize_t>(shape.size());
        for (size_t axis = 0; fits && axis < shape.size(); ++axis)
            fits = shape.begin()[axis] == kAny || shape.begin()[axis] == array.shape(static_cast<py::ssize_t>(axis));
        if (!fits)
            throw py::value_error(std::string(name) + ": expected shape " + words_of(shape.begin(), shape.size()) +
                                  ", got " + words_of(array.shape(), static_cast<size_t>(array.ndim())));
        if (!std::is_const_v<T> && !array.writeable())
            throw py::value_error(std::string(name) + ": expected an array that can be written to");
        data_ = static_cast<T*>(const_cast<void*>(array.data()));
        size_ = array.size();
        shape_ = array.shape();
    }
    // None gives null.
    static Given or_none(const char* name, const py::handle& value, std::initializer_list<int64_t> shape) {
        return value.is_none() ? Given() : Given(name, value, shape);
    }
    T* data() const { return data_; }
    int64_t size() const { return size_; }
    // Of an axis; 0 where there is no array.
    int64_t operator[](int axis) const { return shape_ ? shape_[axis] : 0; }

  private:
    Given() = default;
    T* data_ = nullptr;
    int64_t size_ = 0;
    const py::ssize_t* shape_ = nullptr;
};

template <class T>
using In = Given<const T>;
template <class T>
using Out = Given<T>;

// How many lists these offsets bound.
inline int64_t lists_in(const char* name, int64_t entries) {
    if (entries < 1) throw py::value_error(std::string(name) + ": expected at least 1 entry, got 0");
    return entries - 1;
}

inline int64_t product(const char* name, int64_t a, int64_t b) {
    int64_t both;
    if (__builtin_mul_overflow(a, b, &both)) throw py::value_error(std::string(name) + ": too large");
    return both;
}
