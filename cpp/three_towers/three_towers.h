// A pre-ranking network: a tower for the request, a vector ahead of time for each item, a tower for what crosses them,
// and an upper network over all three (COLD, Wang et al., DLP-KDD 2020), with a linear path beside it.
//
//   user  = relu(request x tower_weight + tower_bias) x vector_weight + vector_bias
//   cross = relu(item row + code rows + dynamic x dynamic_weight), the columns of the cross tower
//   logit = relu([item, cross, item * user] x upper_weight + user x user_weight + upper_bias) x last_weight + wide
// All numbers are float32.
#pragma once

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HR_TOWERS_MAX_FIELDS 8

// A row has `width` columns: dim of the item's vector, dim of the cross tower, T of the linear path, zeros up to a
// multiple of 16. Only item rows have a vector: its columns are 0 in the other rows and weights.
typedef struct hr_towers_model {
    int64_t targets;              // T
    int64_t dim;                  // of the towers' vectors
    int64_t tower_units;          // U
    int64_t upper_units;          // H
    int64_t request_width;        // R
    int64_t dynamic_width;        // D
    int64_t items;                // rows of the catalogue
    int64_t codes;                // rows of all codes
    const float* tower_weight;    // [R][U]
    const float* tower_bias;      // [U]
    const float* vector_weight;   // [U][dim]
    const float* vector_bias;     // [dim]
    const float* user_weight;     // [dim][H]
    const float* upper_bias;      // [H]
    const float* request_weight;  // [R][width]: the linear path from the request
    const float* item_rows;       // [items][width]; with the biases of the cross tower, the last layer, the linear path
    const float* code_rows;       // [codes][width]
    const float* dynamic_weight;  // [D][width]
    const float* upper_weight;    // [3 dim][H]: of the item's vector, of the cross vector, of item times user
    const float* last_weight;     // [H][T]
} hr_towers_model;

typedef struct hr_towers_candidates {
    int64_t count;           // n
    const int64_t* offsets;  // [B + 1], from 0 to n: request b owns candidates offsets[b] to offsets[b + 1]
    const int64_t* item;     // [n]: row of the catalogue
    int64_t fields;          // codes of each candidate, at most HR_TOWERS_MAX_FIELDS
    const int32_t* codes;    // [n][fields]: row of code_rows
    const float* dynamic;    // [n][D]
} hr_towers_candidates;

// The logits of all candidates, [T][n], for `batch` requests [batch][R]. threads: at most this many; 0 means the
// process setting. The answer does not depend on it, nor on the batch or the instruction set. HR_INVALID: a bad size or
// pointer, an index out of range, offsets out of order, an input not finite.
HR_API hr_status hr_three_towers(const hr_towers_model* model, int64_t batch, const float* request,
                                 const hr_towers_candidates* candidates, int threads, float* logits);

#ifdef __cplusplus
}
#endif
