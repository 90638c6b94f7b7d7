// The machine, written once: runs a stage's steps over one request, or over a block of candidates in the first cache.
#pragma once

#include "network/steps_attend.h"
#include "network/steps_rows.h"
#include "network/steps_simple.h"

namespace hr {
namespace {

template <class Step>
inline Step as(const NetworkStep& step) {
    Step s;
    std::memcpy(&s, step.numbers, sizeof s);
    return s;
}

// What the steps of a stage work on. columns: of its rows. extra: more of them, between the steps. kept: the request's
// numbers. block: the rows of a block of candidates. room: for what Products makes of inputs.
template <class L, class Between, class Products = Plain>
class Machine {
  public:
    Machine(const NetworkPlan& plan, int64_t request, float* kept, float* columns, float* extra, float* room,
            Between& between)
        : plan_(plan),
          weights_(plan.program->weights),
          request_(request),
          kept_(kept),
          columns_(columns),
          extra_(extra),
          products_(plan, room),
          between_(between) {}

    void run(const NetworkCode& code, const BlockRows* block) {
        for (int64_t i = 0; i < code.count; ++i) {
            const NetworkStep& step = code.steps[i];
            switch (step.numbers[0]) {
                case kRows:
                    i += add(code, i, block);
                    break;
                case kAffine:
                    i += affine(code, i);
                    break;
                case kFold:
                    fold(as<FoldStep>(step), weights_, columns_);
                    break;
                case kConstant:
                    set(as<ConstantStep>(step));
                    break;
                case kUnary:
                    unary<L>(as<UnaryStep>(step), weights_, columns_);
                    break;
                case kBinary:
                    binary<L>(as<BinaryStep>(step), columns_);
                    break;
                case kSoftmax:
                    softmax(as<SoftmaxStep>(step));
                    break;
                case kMix:
                    combine_experts(as<MixStep>(step));
                    break;
                case kAttend:
                    look_back(as<AttendStep>(step));
                    break;
                case kMean:
                    average(as<MeanStep>(step));
                    break;
                case kFM:
                    machine_of_factors<L>(as<FMStep>(step), columns_);
                    break;
                case kPairs:
                    pairs<L>(as<PairsStep>(step), columns_);
                    break;
                case kSelfAttend:
                    among(as<SelfAttendStep>(step));
                    break;
                case kReduce:
                    reduce<L>(as<ReduceStep>(step), columns_);
                    break;
                case kNormalise:
                    level(as<NormaliseStep>(step));
                    break;
            }
        }
    }

    // What the pair stage needs of a request beside its row.
    void prepare(const NetworkCode& code) {
        for (int64_t i = 0; i < code.count; ++i) {
            if (code.steps[i].numbers[0] == kAttend) keys(as<AttendStep>(code.steps[i]));
            if (code.steps[i].numbers[0] == kMean) {
                const auto s = as<MeanStep>(code.steps[i]);
                mean_of(sequence(s.sequence), kept_ + s.prepared);
            }
        }
    }

  private:
    float* at(int64_t place) const { return columns_ + place * L::kColumn; }
    const float* row() const { return kept_ + plan_.program->request.out; }
    Sequence sequence(int64_t s) const { return sequence_of(plan_.requests->sequences[s], request_); }

    // Step i and those after it that it is one with; returns how many those are.
    int64_t add(const NetworkCode& code, int64_t i, const BlockRows* block) {
        const auto s = as<RowsStep>(code.steps[i]);
        if constexpr (L::kSingle) {
            float* out = at(s.out);
            std::memset(out, 0, static_cast<size_t>(s.width) * sizeof(float));
            if (s.pair < 0) return 0;
            const float* inputs = plan_.requests->inputs + request_ * plan_.program->request_inputs + s.pair;
            std::memcpy(out, inputs, static_cast<size_t>(s.width) * sizeof(float));
            return 0;
        } else {
            // What all candidates have in common is a bias to the sums that go on from it.
            const bool common = s.request >= 0 && s.item < 0 && s.codes < 0 && s.pair < 0;
            if (common && goes_on(code, i + 1, s.out, s.width)) return 1 + affine(code, i + 1, row() + s.request);
            rows(s, *block, row(), at(s.out));
            return 0;
        }
    }

    // Whether step i is affine and goes on with the sums that these columns hold.
    bool goes_on(const NetworkCode& code, int64_t i, int64_t out, int64_t width) const {
        if (i >= code.count || code.steps[i].numbers[0] != kAffine) return false;
        const auto s = as<AffineStep>(code.steps[i]);
        return s.start == kHeld && s.out == out && s.width == width;
    }

    Term term(const AffineStep& s) {
        return s.own ? Term{at(s.x), row() + s.weight, s.inputs, s.stride} : products_.term(s, at(s.x));
    }

    // Step i, from `bias` on where that is given, and those after it that go on with its sums.
    int64_t affine(const NetworkCode& code, int64_t i, const float* bias = nullptr) {
        auto s = as<AffineStep>(code.steps[i]);
        const int64_t out = s.out, width = s.width;
        Sum sum;
        sum.held = !bias && s.start == kHeld;
        sum.bias = s.start >= 0 ? weights_ + s.start : bias;
        products_.begin(s);
        sum.terms[0] = term(s);
        sum.count = 1;
        while (!s.relu && sum.count < Sum::kMost && goes_on(code, i + sum.count, out, width)) {
            const auto next = as<AffineStep>(code.steps[i + sum.count]);
            if (!products_.joins(next)) break;
            sum.terms[sum.count++] = term(next);
            s = next;
        }
        sum.relu = s.relu;
        products_.template add_up<L>(sum, width, at(out), between_);
        return sum.count - 1;
    }

    void set(const ConstantStep& s) {
        if constexpr (L::kSingle)
            std::memcpy(at(s.out), weights_ + s.weight, static_cast<size_t>(s.width) * sizeof(float));
        else
            spread(weights_ + s.weight, s.width, at(s.out));
    }

    void softmax(const SoftmaxStep& s) {
        for (int64_t g = 0; g < s.groups; ++g) soften<L>(at(s.out + g * s.width), s.width);
    }

    void combine_experts(const MixStep& s) {
        mix<L>(at(s.gates), at(s.vectors), s.experts, s.width, s.width, at(s.out));
    }

    void keys(const AttendStep& s) { turn_keys(sequence(s.sequence), weights_[s.scale], kept_ + s.prepared); }

    void look_back(const AttendStep& s) {
        if constexpr (L::kSingle) keys(s);
        attend<L>(at(s.query), sequence(s.sequence), kept_ + s.prepared, extra_, at(s.out));
    }

    void average(const MeanStep& s) {
        if constexpr (L::kSingle)
            mean_of(sequence(s.sequence), at(s.out));
        else
            spread(kept_ + s.prepared, s.width, at(s.out));
    }

    void among(const SelfAttendStep& s) { attend_fields<L>(s, weights_[s.scale], columns_, extra_); }
    void level(const NormaliseStep& s) { normalise<L>(s, weights_[s.epsilon], columns_); }

    const NetworkPlan& plan_;
    const float* weights_;
    int64_t request_;
    float *kept_, *columns_, *extra_;
    Products products_;
    Between& between_;
};

// Tiles of all layers, as `sum_tiles` cuts them; at least one.
inline int64_t tiles(const NetworkCode& code) {
    int64_t count = 0;
    for (int64_t i = 0; i < code.count; ++i) {
        if (code.steps[i].numbers[0] != kAffine) continue;
        const int64_t width = as<AffineStep>(code.steps[i]).width;
        count += width / kTile + __builtin_popcountll(static_cast<uint64_t>(width % kTile));
    }
    return count ? count : 1;
}

inline void request(const NetworkPlan& plan, int64_t b, float* kept, float* scratch) {
    Nothing nothing;
    Machine<Single, Nothing> machine(plan, b, kept, kept, scratch, nullptr, nothing);
    machine.run(plan.request, nullptr);
    machine.prepare(plan.pair);
}

template <class Products>
void candidates(const NetworkPlan& plan, const NetworkTask& task, float* scratch) {
    const hr_network_program& p = *plan.program;
    const hr_network_stage& stage = p.pair;
    Ahead ahead(p.item_rows, p.item_width, task.item, task.count, tiles(plan.pair) - 1);
    float* extra = scratch + stage.columns * kBlock;
    Machine<Lanes, Ahead, Products> machine(plan, task.request, task.kept, scratch, extra, extra + plan.extra * kBlock,
                                            ahead);
    BlockRows block;
    for (int64_t first = 0; first < task.count; first += kBlock) {
        block.find(p, task, first);
        ahead.begin(first + kBlock);
        machine.run(plan.pair, &block);
        const int64_t left = task.count - first, count = left < kBlock ? left : kBlock;
        for (int64_t t = 0; t < stage.width; ++t)
            std::memcpy(task.out + t * task.stride + first, scratch + (stage.out + t) * kBlock,
                        static_cast<size_t>(count) * sizeof(float));
    }
}

template <class Products>
constexpr NetworkKernels kKernels{request, candidates<Products>};

}  // namespace
}  // namespace hr
