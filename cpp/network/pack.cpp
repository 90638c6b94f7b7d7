#include "network/pack.h"

#include <cstring>

#include "core/checks.h"
#include "core/status.h"
#include "network/check.h"

namespace {

using hr::bad;

int64_t whole(int64_t count, int64_t side) { return (count + side - 1) / side * side; }

// To the nearest bfloat16, ties to even, which is the high half; weights are finite.
uint32_t rounded(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits + 0x7fff + (bits >> 16 & 1);
}

void put(uint32_t bits, float* out) { std::memcpy(out, &bits, sizeof bits); }

uint32_t half_at(const float* weight, int64_t stride, int64_t inputs, int64_t i) {
    return i < inputs ? rounded(weight[i * stride]) >> 16 : 0;
}

void pack_layer(const float* weight, const hr::AffineStep& s, float* out) {
    const int64_t inputs = whole(s.inputs, hr::kTileInputs), outputs = whole(s.width, hr::kTileOutputs);
    for (int64_t first = 0; first < outputs; first += hr::kTileOutputs)
        for (int64_t i = 0; i < inputs; i += hr::kTileInputs)
            for (int64_t o = first; o < first + hr::kTileOutputs; ++o)
                for (int64_t k = i; k < i + hr::kTileInputs; k += 2, ++out) {
                    const int64_t there = o < s.width ? s.inputs : 0;
                    const uint32_t low = half_at(weight + o, s.stride, there, k);
                    put(low | half_at(weight + o, s.stride, there, k + 1) << 16, out);
                }
}

// each(step, size) for the layers of the pair stage that have tiles.
template <class Each>
void layers(const hr_network_program& p, Each&& each) {
    hr::check_size("weights", p.weight_count, 0, hr::kMaxRows);
    hr::check_size("pair.steps", p.pair.steps, 0, hr::kMaxSteps);
    if ((p.weight_count && !p.weights) || (p.pair.steps && !p.pair.code)) bad("program: expected pointers, got null");
    for (int64_t i = 0; i < p.pair.steps; ++i) {
        hr::AffineStep s;
        std::memcpy(&s, p.pair.code + i * HR_NETWORK_ENCODED, sizeof s);
        if (s.kind != hr::kAffine || s.own) continue;
        hr::check_size("affine: inputs", s.inputs, 0, hr::kMaxColumns);
        hr::check_size("affine: width", s.width, 1, hr::kMaxColumns);
        hr::check_size("affine: stride", s.stride, 1, int64_t{1} << 30);
        const int64_t reach = s.inputs ? (s.inputs - 1) * s.stride + s.width : 0;
        hr::check_size("affine: weight", s.weight, 0, p.weight_count - reach);
        if (const int64_t size = hr::packed_layer(s.inputs, s.width)) each(s, size);
    }
}

}  // namespace

int64_t hr::packed_weights(int64_t count) { return whole(count, 16); }

int64_t hr::packed_layer(int64_t inputs, int64_t width) {
    if (inputs < 16 || width < 8 || inputs * width < 512) return 0;
    return whole(inputs, kTileInputs) * whole(width, kTileOutputs) / 2;
}

hr_status hr_network_packed_count(const hr_network_program* program, int64_t* count) {
    return hr::guarded([&] {
        if (!program || !count) bad("program, count: expected pointers, got null");
        int64_t sum = hr::packed_weights(program->weight_count);
        layers(*program, [&](const hr::AffineStep&, int64_t size) { sum += size; });
        *count = sum;
    });
}

hr_status hr_network_pack(const hr_network_program* program, float* packed) {
    return hr::guarded([&] {
        if (!program || !packed) bad("program, packed: expected pointers, got null");
        const hr_network_program& p = *program;
        layers(p, [](const hr::AffineStep&, int64_t) {});
        const int64_t all = hr::packed_weights(p.weight_count);
        for (int64_t i = 0; i < all; ++i) put(i < p.weight_count ? rounded(p.weights[i]) & 0xffff0000 : 0, packed + i);
        float* out = packed + all;
        layers(p, [&](const hr::AffineStep& s, int64_t size) {
            pack_layer(p.weights + s.weight, s, out);
            out += size;
        });
    });
}
