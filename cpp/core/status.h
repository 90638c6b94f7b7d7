// Turns C++ exceptions into statuses at the C boundary.
#pragma once

#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "core/abi.h"

namespace hr {

void set_last_error(const char* message);

// Runs `body`; whatever it throws becomes a status and a message.
template <class Body>
hr_status guarded(Body&& body) noexcept {
    try {
        body();
        return HR_OK;
    } catch (const std::invalid_argument& e) {
        set_last_error(e.what());
        return HR_INVALID;
    } catch (const std::bad_alloc&) {
        set_last_error("out of memory");
        return HR_NO_MEMORY;
    } catch (const std::system_error& e) {
        set_last_error(e.what());
        return HR_IO;
    } catch (const std::exception& e) {
        set_last_error(e.what());
        return HR_INTERNAL;
    } catch (...) {
        set_last_error("unknown exception");
        return HR_INTERNAL;
    }
}

}  // namespace hr
