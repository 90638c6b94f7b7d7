// A ranking network: every target of every candidate by a multi-gate mixture of experts (MMoE, Ma et al., KDD 2018),
// with target attention over a request's behaviours (DIN, Zhou et al., KDD 2018) and a linear path beside it.
//
// The first layer is linear in a concatenation, so what depends on the request alone, on the item alone or on a code is
// a row of its outputs, and only the rest is multiplied for each candidate:
//   first = request x request_weight + item row + code rows + [taste * e, attention(e), dynamic] x candidate_weight
// with e the item's embedding. All numbers are float32.
#pragma once

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HR_MIXTURE_MAX_FIELDS 8

// A row has `width` columns: T * E gates (target by target), T of the linear path, dim of the item's embedding, zeros
// up to a multiple of 16; then E * hidden of the experts (expert by expert), zeros up to a multiple of 16. Only item
// rows have an embedding: its columns are 0 in the other rows and weights.
typedef struct hr_mixture_model {
    int64_t targets;                // T
    int64_t experts;                // E
    int64_t hidden;                 // of an expert's first layer
    int64_t units;                  // of an expert's second layer
    int64_t head_units;             // H
    int64_t dim;                    // of an item's embedding
    int64_t attention;              // 1: with attention over the behaviours, 0: without
    int64_t request_width;          // R
    int64_t dynamic_width;          // D
    int64_t items;                  // rows of the catalogue
    int64_t codes;                  // rows of all codes
    const float* request_weight;    // [R][width]
    const float* item_rows;         // [items][width]; with all biases of the first layer and of the linear path
    const float* code_rows;         // [codes][width]
    const float* candidate_weight;  // [dim (taste) + attention * dim + D][width]
    const float* expert_weight;     // [E][hidden][units]
    const float* expert_bias;       // [E][units]
    const float* head_weight;       // [T][units][H]
    const float* head_bias;         // [T][H]
    const float* out_weight;        // [T][H]
    const float* out_bias;          // [T]
} hr_mixture_model;

typedef struct hr_mixture_requests {
    int64_t batch;            // B
    const float* inputs;      // [B][R]
    const float* taste;       // [B][dim]
    int64_t longest;          // N: room for behaviours
    const float* behaviours;  // [B][N][dim]: their embeddings
    const int32_t* counts;    // [B]: how many of them there are, 0 to N
} hr_mixture_requests;

typedef struct hr_mixture_candidates {
    int64_t count;           // n
    const int64_t* offsets;  // [B + 1], from 0 to n: request b owns candidates offsets[b] to offsets[b + 1]
    const int64_t* item;     // [n]: row of the catalogue
    int64_t fields;          // codes of each candidate, at most HR_MIXTURE_MAX_FIELDS
    const int32_t* codes;    // [n][fields]: row of code_rows
    const float* dynamic;    // [n][D]
} hr_mixture_candidates;

// The logits of all candidates, [T][n]. threads: at most this many; 0 means the process setting. The answer does not
// depend on it, nor on the batch or the instruction set. A request without behaviours attends to zeros.
// HR_INVALID: a bad size or pointer, an index out of range, a count or offset out of order, an input not finite.
HR_API hr_status hr_mixture_of_experts(const hr_mixture_model* model, const hr_mixture_requests* requests,
                                       const hr_mixture_candidates* candidates, int threads, float* logits);

#ifdef __cplusplus
}
#endif
