// Any ranking network in one call: straight-line programs over requests and over candidates.
//
// A stage runs over rows (requests, or candidates), each with columns of its own that the instructions fill one after
// another. An instruction is 12 numbers: its kind, its fields, zeros. A place (out, x, a, ...) is the first of a run of
// columns; weight, start, times, scale, epsilon are places in the weights. All numbers are float32, and every sum runs
// over its terms in order, from its start, with fused multiply-adds.
//
// clang-format off
//   kind          fields                                           out, of so many columns
//    0 rows       out width request item codes pair                width: the sum of the rows' parts from there on
//    1 affine     out width x inputs weight stride start relu own  width: start + x W, W [inputs] rows stride apart
//    2 fold       out width x inputs weight times stride           inputs * width: W[k] + x[k] V[k]
//    3 constant   out width weight                                 width: of the weights
//    4 unary      out width a f weight                             width: f(a)
//    5 binary     out width a b f group period                     width: a[j] f b[(j / group) % period]
//    6 softmax    out width groups                                 groups * width, each group in place
//    7 mix        out width gates vectors experts                  width: sum over e of gates[e] vectors[e]
//    8 attend     out width query sequence scale                   width: mean of a sequence's entries by softmax
//    9 mean       out width sequence                               width: mean of a sequence's entries
//   10 fm         out width a fields                               width: factorisation machine
//   11 pairs      out width a b fields f                           pairs f < g: a[f] b[g], each or summed up
//   12 self       out width q k v fields heads scale               fields * width: attention among the fields
//   13 reduce     out width a groups f                             groups, or width: sums within, or across, groups
//   14 normalise  out width a groups epsilon                       groups * width: no mean, variance 1
// clang-format on
//
// rows: -1 leaves a row out; the request stage has pair alone, its inputs. start: -1 zero, -2 what the columns hold.
// own: W lies in the request's row instead (pair stage). fold: request stage. unary f: 0 copy, 1 relu, 2 sigmoid,
// 3 tanh, 4 square, 5 times weights[weight]. binary f: 0 add, 1 subtract, 2 multiply, 3 maximum. pairs f: 0 each
// product, 1 summed up. reduce f: 0 within, 1 across.
//
// What a step reads an earlier step has written, and it does not overlap what the step writes, but for: affine from -2,
// softmax; and out may be a in unary, binary and normalise, and b in binary where b does not repeat.
#pragma once

#include "core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HR_NETWORK_ENCODED 12
#define HR_NETWORK_MAX_FIELDS 64

typedef struct hr_network_stage {
    int64_t steps;
    const int64_t* code;  // [steps][HR_NETWORK_ENCODED]
    int64_t columns;      // of each row
    int64_t out, width;   // the run of columns that is the result
} hr_network_stage;

typedef struct hr_network_program {
    hr_network_stage request;   // its result is the request's row
    hr_network_stage pair;      // its result is the logits of T targets
    int64_t weight_count;       // W
    const float* weights;       // [W]
    int64_t items, item_width;  // rows of the catalogue
    const float* item_rows;     // [items][item_width]
    int64_t codes, code_width;  // rows of all codes
    const float* code_rows;     // [codes][code_width]
    int64_t request_inputs;     // R
    int64_t pair_inputs;        // D
    int64_t packed_count;       // as hr_network_packed_count says
    const float* packed;        // [packed_count], of hr_network_pack; null: all products are of float32
} hr_network_program;

typedef struct hr_network_sequence {
    int64_t width;          // of an entry
    int64_t longest;        // N: room for entries
    const float* entries;   // [B][N][width]
    const int32_t* counts;  // [B]: how many of them there are, 0 to N
} hr_network_sequence;

typedef struct hr_network_requests {
    int64_t batch;        // B
    const float* inputs;  // [B][R]
    int64_t sequence_count;
    const hr_network_sequence* sequences;
} hr_network_requests;

typedef struct hr_network_candidates {
    int64_t count;           // n
    const int64_t* offsets;  // [B + 1], from 0 to n: request b owns candidates offsets[b] to offsets[b + 1]
    const int64_t* item;     // [n]: row of the catalogue
    int64_t fields;          // codes of each candidate, at most HR_NETWORK_MAX_FIELDS
    const int32_t* codes;    // [n][fields]: row of code_rows
    const float* inputs;     // [n][D]
} hr_network_candidates;

// With `packed` weights, every affine step of the pair stage (not `own`) has both factors of its products rounded to
// bfloat16, to the nearest, ties to even; these products are exact in float32. Its sums stay in float32, in an order
// that depends on the instruction set.
//
// What to read from the weights instead: made once for a program, from its weights and pair stage alone.
// HR_INVALID: a layer that does not fit the weights, a bad size or pointer.
HR_API hr_status hr_network_packed_count(const hr_network_program* program, int64_t* count);
HR_API hr_status hr_network_pack(const hr_network_program* program, float* packed);

// The logits of all candidates, [T][n]. threads: at most this many; 0 means the process setting. The answer does not
// depend on it, nor on the batch, nor with float32 on the instruction set.
// HR_INVALID: an instruction that does not fit, a bad size or pointer, an index out of range, a count or offset out of
// order, an input not finite.
HR_API hr_status hr_network(const hr_network_program* program, const hr_network_requests* requests,
                            const hr_network_candidates* candidates, int threads, float* logits);

#ifdef __cplusplus
}
#endif
