// Headrace in C: everything a serving process in C or C++ needs. Every call is safe from many threads.
#pragma once

#include "core/abi.h"
