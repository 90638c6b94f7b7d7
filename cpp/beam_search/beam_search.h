// Beam search over the paths of a Deep Retrieval model: the most probable paths of each request.
//
// Layer d scores the K nodes by softmax(W2 relu(W1 [user, emb(c_1), ..., emb(c_d)] + b1) + b2). W1 is split: its
// columns for the user are applied once a request, its columns for an earlier layer's embedding are multiplied out
// beforehand into a table with one row for each node. All numbers are float64.
#pragma once

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// A matrix [outputs, inputs] is packed in panels of 8 outputs: [ceil(outputs / 8)][inputs][8], zeros behind the last.
typedef struct hr_path_model {
    int64_t depth;              // D, layers; nodes^depth is at most 2^62
    int64_t nodes;              // K, nodes of a layer
    int64_t user_dim;           // U
    int64_t hidden;             // H, a multiple of 8: fill up with zeros, which change nothing
    const double* user_weight;  // [D] packed matrices [H, U]: the user's columns of W1
    const double* hidden_bias;  // [D][H]: b1
    // [D (D - 1) / 2][K][H]: row c of table d (d - 1) / 2 + l is (W1's columns for layer l) emb_l(c), for l < d.
    const double* tables;
    const double* output_weight;  // [D] packed matrices [K, H]: W2
    const double* output_bias;    // [D][K rounded up to 8]: b2, -infinity behind the last
} hr_path_model;

// The `beam` most probable paths that a beam search of that width finds, most probable first; equal ones by lower path.
//
// user: [batch][user_dim] float32. threads: at most this many; 0 means the process setting. The answer does not depend
// on it, nor on the batch or the instruction set.
// paths: [batch][beam][depth], nodes from 0. logp: [batch][beam]. Where fewer paths exist the rest is -1 and -infinity.
// HR_INVALID: a bad size or pointer, or a user that is not finite.
HR_API hr_status hr_beam_search(const hr_path_model* model, const float* user, int64_t batch, int64_t beam, int threads,
                                int32_t* paths, float* logp);

#ifdef __cplusplus
}
#endif
