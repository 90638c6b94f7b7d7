#include "network/check.h"

#include <algorithm>
#include <string>

#include "core/checks.h"
#include "network/pack.h"

namespace {

using hr::bad;

// No product of two of them overflows.
constexpr int64_t kMaxField = int64_t{1} << 30;

constexpr const char* kNames[] = {"rows",   "affine", "fold", "constant", "unary",          "binary", "softmax",  "mix",
                                  "attend", "mean",   "fm",   "pairs",    "self attention", "reduce", "normalise"};

template <class Step>
Step as(const hr::NetworkStep& step) {
    Step s;
    std::memcpy(&s, step.numbers, sizeof s);
    return s;
}

struct Run {
    int64_t first, count;
};

int64_t reach(int64_t rows, int64_t stride, int64_t width) { return rows ? (rows - 1) * stride + width : 0; }

class Checker {
  public:
    Checker(const hr_network_program& program, const hr_network_requests& requests, bool pair, int64_t prepared,
            std::vector<char>& written)
        : p_(program),
          r_(requests),
          pair_(pair),
          stage_(pair ? program.pair : program.request),
          needs_{prepared, 0, 0, hr::packed_weights(program.weight_count), 0},
          written_(written) {
        written_.assign(static_cast<size_t>(stage_.columns), 0);
    }

    void check(hr::NetworkStep& step, int64_t place) {
        place_ = place;
        kind_ = step.numbers[0];
        if (kind_ < 0 || kind_ >= hr::kKinds)
            bad(stage_name() + " step " + std::to_string(place) + ": expected a kind from 0 to " +
                std::to_string(hr::kKinds - 1) + ", got " + std::to_string(kind_));
        for (int64_t field : step.numbers) between("field", field, hr::kHeld, kMaxField);
        between("width", step.numbers[2], 1, kMaxField);
        dispatch(step);
    }

    void result() {
        place_ = stage_.steps;
        kind_ = -1;
        reads(stage_.out, stage_.width);
    }

    const hr::NetworkNeeds& needs() const { return needs_; }

  private:
    void dispatch(hr::NetworkStep& step) {
        switch (kind_) {
            case hr::kRows:
                return rows(as<hr::RowsStep>(step));
            case hr::kAffine:
                return affine(step);
            case hr::kFold:
                return fold(as<hr::FoldStep>(step));
            case hr::kConstant:
                return constant(as<hr::ConstantStep>(step));
            case hr::kUnary:
                return unary(as<hr::UnaryStep>(step));
            case hr::kBinary:
                return binary(as<hr::BinaryStep>(step));
            case hr::kSoftmax:
                return softmax(as<hr::SoftmaxStep>(step));
            case hr::kMix:
                return mix(as<hr::MixStep>(step));
            case hr::kAttend:
                return attend(step);
            case hr::kMean:
                return mean(step);
            case hr::kFM:
                return fm(as<hr::FMStep>(step));
            case hr::kPairs:
                return pairs(as<hr::PairsStep>(step));
            case hr::kSelfAttend:
                return self_attend(as<hr::SelfAttendStep>(step));
            case hr::kReduce:
                return reduce(as<hr::ReduceStep>(step));
            default:
                return normalise(as<hr::NormaliseStep>(step));
        }
    }

    std::string stage_name() const { return pair_ ? "pair" : "request"; }

    [[noreturn]] void wrong(const std::string& words) const {
        if (kind_ < 0) bad(stage_name() + " result: " + words);
        bad(stage_name() + " step " + std::to_string(place_) + " (" + kNames[kind_] + "): " + words);
    }

    void between(const char* name, int64_t value, int64_t least, int64_t most) const {
        if (value < least || value > most)
            wrong(std::string(name) + ": expected " + std::to_string(least) + " to " + std::to_string(most) + ", got " +
                  std::to_string(value));
    }

    void inside(const char* name, int64_t first, int64_t count, int64_t room) const {
        if (first < 0 || count < 0 || first + count > room)
            wrong(std::string(name) + ": expected " + std::to_string(first) + " to " + std::to_string(first + count) +
                  " within 0 to " + std::to_string(room));
    }

    void weights(int64_t first, int64_t count) const { inside("weights", first, count, p_.weight_count); }

    void reads(int64_t first, int64_t count) const {
        inside("columns", first, count, stage_.columns);
        const auto begin = written_.begin() + first, end = begin + count, found = std::find(begin, end, 0);
        if (found != end)
            wrong("expected columns that an earlier step wrote, got " + std::to_string(found - written_.begin()));
    }

    // `apart`: what is read must lie elsewhere.
    void writes(Run out, std::initializer_list<Run> apart = {}) {
        inside("columns", out.first, out.count, stage_.columns);
        for (const Run& run : apart)
            if (std::max(run.first, out.first) < std::min(run.first + run.count, out.first + out.count))
                wrong("expected to write elsewhere than it reads, got columns " + std::to_string(out.first) + " to " +
                      std::to_string(out.first + out.count));
        std::fill_n(written_.begin() + out.first, out.count, 1);
    }

    void rows(const hr::RowsStep& s) {
        const struct {
            const char* name;
            int64_t place, room;
        } sources[] = {{"request", s.request, pair_ ? p_.request.width : 0},
                       {"item", s.item, pair_ ? p_.item_width : 0},
                       {"codes", s.codes, pair_ ? p_.code_width : 0},
                       {"pair", s.pair, pair_ ? p_.pair_inputs : p_.request_inputs}};
        for (const auto& source : sources) {
            between(source.name, source.place, hr::kNone, kMaxField);
            if (source.place >= 0) inside(source.name, source.place, s.width, source.room);
        }
        writes({s.out, s.width});
    }

    void affine(hr::NetworkStep& step) {
        const auto s = as<hr::AffineStep>(step);
        between("stride", s.stride, 1, kMaxField);
        between("inputs", s.inputs, 0, kMaxField);
        between("relu", s.relu, 0, 1);
        between("own", s.own, 0, pair_);
        const Run x{s.x, s.inputs}, out{s.out, s.width};
        reads(x.first, x.count);
        if (s.start == hr::kHeld) reads(out.first, out.count);
        if (s.start >= 0) weights(s.start, s.width);
        if (s.own)
            inside("the request's row", s.weight, reach(std::max<int64_t>(s.inputs, 1), s.stride, s.width),
                   p_.request.width);
        else
            weights(s.weight, reach(s.inputs, s.stride, s.width));
        writes(out, {x});
        needs_.products += s.inputs * s.width;
        const int64_t tiles = s.own ? 0 : hr::packed_layer(s.inputs, s.width);
        step.numbers[10] = tiles ? needs_.packed : hr::kNone;
        needs_.packed += tiles;
        needs_.inputs = std::max(needs_.inputs, (s.inputs + hr::kTileInputs - 1) / hr::kTileInputs * hr::kTileInputs);
    }

    void fold(const hr::FoldStep& s) {
        if (pair_) wrong("expected in the request stage only");
        between("inputs", s.inputs, 1, kMaxField);
        between("stride", s.stride, 1, kMaxField);
        for (int64_t place : {s.weight, s.times}) weights(place, reach(s.inputs, s.stride, s.width));
        reads(s.x, s.inputs);
        writes({s.out, s.inputs * s.width}, {{s.x, s.inputs}});
    }

    void constant(const hr::ConstantStep& s) {
        weights(s.weight, s.width);
        writes({s.out, s.width});
    }

    void unary(const hr::UnaryStep& s) {
        between("function", s.f, 0, hr::kUnaryKinds - 1);
        if (s.f == hr::kScale) weights(s.weight, 1);
        const Run a{s.a, s.width};
        reads(a.first, a.count);
        s.out == s.a ? writes(a) : writes({s.out, s.width}, {a});
    }

    void binary(const hr::BinaryStep& s) {
        between("function", s.f, 0, hr::kBinaryKinds - 1);
        between("group", s.group, 1, kMaxField);
        between("period", s.period, 1, kMaxField);
        const bool repeats = s.group > 1 || s.period < s.width;
        const Run a{s.a, s.width}, b{s.b, std::min((s.width + s.group - 1) / s.group, s.period)};
        reads(a.first, a.count);
        reads(b.first, b.count);
        const Run nothing{0, 0};
        writes({s.out, s.width}, {s.out == s.a ? nothing : a, s.out == s.b && !repeats ? nothing : b});
    }

    void softmax(const hr::SoftmaxStep& s) {
        between("groups", s.groups, 1, kMaxField);
        reads(s.out, s.groups * s.width);
    }

    void mix(const hr::MixStep& s) {
        between("experts", s.experts, 1, kMaxField);
        const Run gates{s.gates, s.experts}, vectors{s.vectors, s.experts * s.width};
        reads(gates.first, gates.count);
        reads(vectors.first, vectors.count);
        writes({s.out, s.width}, {gates, vectors});
        needs_.products += s.experts * s.width;
    }

    const hr_network_sequence& sequence(int64_t number, int64_t width) const {
        between("sequence", number, 0, r_.sequence_count - 1);
        const hr_network_sequence& sequence = r_.sequences[number];
        between("width", width, sequence.width, sequence.width);
        return sequence;
    }

    void attend(hr::NetworkStep& step) {
        const auto s = as<hr::AttendStep>(step);
        const hr_network_sequence& of = sequence(s.sequence, s.width);
        weights(s.scale, 1);
        const Run query{s.query, s.width};
        reads(query.first, query.count);
        writes({s.out, s.width}, {query});
        step.numbers[6] = needs_.prepared;
        needs_.prepared += of.longest * of.width;
        needs_.extra = std::max(needs_.extra, of.longest);
        needs_.products += 2 * of.longest * of.width;
    }

    void mean(hr::NetworkStep& step) {
        const auto s = as<hr::MeanStep>(step);
        sequence(s.sequence, s.width);
        writes({s.out, s.width});
        step.numbers[4] = needs_.prepared;
        needs_.prepared += s.width;
    }

    void fm(const hr::FMStep& s) {
        between("fields", s.fields, 1, kMaxField);
        const Run a{s.a, s.fields * s.width};
        reads(a.first, a.count);
        writes({s.out, s.width}, {a});
        needs_.products += s.fields * s.width;
    }

    void pairs(const hr::PairsStep& s) {
        between("function", s.f, 0, hr::kPairsKinds - 1);
        between("fields", s.fields, 0, kMaxField);
        const Run a{s.a, s.fields * s.width}, b{s.b, s.fields * s.width};
        reads(a.first, a.count);
        reads(b.first, b.count);
        const int64_t count = s.fields * (s.fields - 1) / 2;
        writes({s.out, count * (s.f == hr::kProduct ? s.width : 1)}, {a, b});
        needs_.products += count * s.width;
    }

    void self_attend(const hr::SelfAttendStep& s) {
        between("fields", s.fields, 1, kMaxField);
        between("heads", s.heads, 1, s.width);
        if (s.width % s.heads) wrong("heads: expected to divide the width, got " + std::to_string(s.heads));
        weights(s.scale, 1);
        const int64_t count = s.fields * s.width;
        for (int64_t place : {s.q, s.k, s.v}) reads(place, count);
        writes({s.out, count}, {{s.q, count}, {s.k, count}, {s.v, count}});
        needs_.extra = std::max(needs_.extra, s.fields);
        needs_.products += 2 * s.fields * count;
    }

    void reduce(const hr::ReduceStep& s) {
        between("function", s.f, 0, hr::kReduceKinds - 1);
        between("groups", s.groups, 1, kMaxField);
        const Run a{s.a, s.groups * s.width};
        reads(a.first, a.count);
        writes({s.out, s.f == hr::kWithin ? s.groups : s.width}, {a});
    }

    void normalise(const hr::NormaliseStep& s) {
        between("groups", s.groups, 1, kMaxField);
        weights(s.epsilon, 1);
        const Run a{s.a, s.groups * s.width};
        reads(a.first, a.count);
        s.out == s.a ? writes(a) : writes({s.out, a.count}, {a});
    }

    const hr_network_program& p_;
    const hr_network_requests& r_;
    const bool pair_;
    const hr_network_stage& stage_;
    hr::NetworkNeeds needs_;
    std::vector<char>& written_;
    int64_t place_ = 0, kind_ = 0;
};

}  // namespace

hr::NetworkNeeds hr::check_stage(const hr_network_program& p, const hr_network_requests& r, bool pair, int64_t prepared,
                                 std::vector<NetworkStep>& steps, std::vector<char>& written) {
    const hr_network_stage& stage = pair ? p.pair : p.request;
    steps.resize(static_cast<size_t>(stage.steps));
    if (stage.steps) std::memcpy(steps.data(), stage.code, steps.size() * sizeof(NetworkStep));
    Checker checker(p, r, pair, prepared, written);
    for (int64_t i = 0; i < stage.steps; ++i) checker.check(steps[static_cast<size_t>(i)], i);
    checker.result();
    return checker.needs();
}
