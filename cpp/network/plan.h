// A checked program as the inner kernels run it, and what each instruction set provides to network.cpp.
#pragma once

#include "network/network.h"

namespace hr {

constexpr int64_t kMaxBlock = 32, kNone = -1, kHeld = -2;

enum NetworkKind : int64_t {
    kRows,
    kAffine,
    kFold,
    kConstant,
    kUnary,
    kBinary,
    kSoftmax,
    kMix,
    kAttend,
    kMean,
    kFM,
    kPairs,
    kSelfAttend,
    kReduce,
    kNormalise,
    kKinds
};
enum UnaryKind : int64_t { kCopy, kRelu, kSigmoid, kTanh, kSquare, kScale, kUnaryKinds };
enum BinaryKind : int64_t { kAdd, kSubtract, kMultiply, kMaximum, kBinaryKinds };
enum PairsKind : int64_t { kProduct, kInner, kPairsKinds };
enum ReduceKind : int64_t { kWithin, kAcross, kReduceKinds };

// Instructions as they are encoded. `prepared`: where in a request's numbers the plan puts what the step needs of it.
// `tiles`: where in the packed weights the plan has a layer's tiles; kNone where it has none.
struct RowsStep {
    int64_t kind, out, width, request, item, codes, pair;
};
struct AffineStep {
    int64_t kind, out, width, x, inputs, weight, stride, start, relu, own, tiles;
};
struct FoldStep {
    int64_t kind, out, width, x, inputs, weight, times, stride;
};
struct ConstantStep {
    int64_t kind, out, width, weight;
};
struct UnaryStep {
    int64_t kind, out, width, a, f, weight;
};
struct BinaryStep {
    int64_t kind, out, width, a, b, f, group, period;
};
struct SoftmaxStep {
    int64_t kind, out, width, groups;
};
struct MixStep {
    int64_t kind, out, width, gates, vectors, experts;
};
struct AttendStep {
    int64_t kind, out, width, query, sequence, scale, prepared;
};
struct MeanStep {
    int64_t kind, out, width, sequence, prepared;
};
struct FMStep {
    int64_t kind, out, width, a, fields;
};
struct PairsStep {
    int64_t kind, out, width, a, b, fields, f;
};
struct SelfAttendStep {
    int64_t kind, out, width, q, k, v, fields, heads, scale;
};
struct ReduceStep {
    int64_t kind, out, width, a, groups, f;
};
struct NormaliseStep {
    int64_t kind, out, width, a, groups, epsilon;
};

struct NetworkStep {
    int64_t numbers[HR_NETWORK_ENCODED];
};

struct NetworkCode {
    const NetworkStep* steps;
    int64_t count;
};

// request_size: numbers kept of a request: its columns, then what is prepared. extra: columns beside those of the pair
// stage. rounded: columns for inputs in bfloat16. least: candidates that make a task worth its while.
struct NetworkPlan {
    const hr_network_program* program;
    const hr_network_requests* requests;
    NetworkCode request, pair;
    int64_t request_size, extra, rounded, least;
};

// Candidates of request `request`, whose numbers are `kept`; their logits go to out[target * stride + candidate].
struct NetworkTask {
    int64_t request;
    float* kept;
    const int64_t* item;
    const int32_t* codes;
    const float* inputs;
    int64_t fields, count, stride;
    float* out;
};

struct NetworkKernels {
    // Runs the request stage and prepares what the pair stage needs of request b, in kept[request_size]. scratch:
    // plan.extra numbers.
    void (*request)(const NetworkPlan& plan, int64_t b, float* kept, float* scratch);
    // scratch: (columns of the pair stage + plan.extra + plan.rounded) * kMaxBlock numbers.
    void (*candidates)(const NetworkPlan& plan, const NetworkTask& task, float* scratch);
};

extern const NetworkKernels network_kernels_scalar, network_kernels_avx2, network_kernels_avx512;
// For programs in bfloat16.
extern const NetworkKernels network_rounded_scalar, network_rounded_avx2, network_rounded_avx512,
    network_rounded_avx512bf16, network_rounded_amx;

// hr_network with these kernels. Throws std::invalid_argument.
void run_network(const hr_network_program& program, const hr_network_requests& requests,
                 const hr_network_candidates& candidates, int threads, float* logits, const NetworkKernels& kernels);

}  // namespace hr
