// Headrace in C: everything a serving process in C or C++ needs. Every call is safe from many threads.
#pragma once

#include "beam_search/beam_search.h"
#include "bloom/bloom.h"
#include "closeness/closeness.h"
#include "co_occurrence/co_occurrence.h"
#include "core/abi.h"
#include "dpp/dpp.h"
#include "embedding_bag/embedding_bag.h"
#include "lookup_pairs/lookup_pairs.h"
#include "network/network.h"
#include "pool_items/pool_items.h"
#include "segment_topk/segment_topk.h"
#include "topk/topk.h"
#include "two_hop/two_hop.h"
