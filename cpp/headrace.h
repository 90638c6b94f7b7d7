// Headrace in C: everything a serving process in C or C++ needs. Every call is safe from many threads.
#pragma once

#include "bloom/bloom.h"
#include "core/abi.h"
#include "dpp/dpp.h"
#include "embedding_bag/embedding_bag.h"
#include "topk/topk.h"
