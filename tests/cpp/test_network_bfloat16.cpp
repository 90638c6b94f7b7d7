#include "core/cpu.h"
#include "network_layers.h"

namespace {

using layers::answer;
using layers::Call;
using layers::Layers;

// Every table that this machine can run, the scalar one first; `exact` ones give its bits.
struct Table {
    const hr::NetworkKernels* kernels;
    bool exact;
};

std::vector<Table> tables() {
    std::vector<Table> all{{&hr::network_rounded_scalar, true}};
#if HEADRACE_X86
    if (hr_isa_usable(HR_ISA_AVX2)) all.push_back({&hr::network_rounded_avx2, true});
    if (hr_isa_usable(HR_ISA_AVX512)) all.push_back({&hr::network_rounded_avx512, true});
    if (hr::cpu_has_avx512_bf16()) all.push_back({&hr::network_rounded_avx512bf16, false});
    if (hr_isa_usable(HR_ISA_AMX) && hr::cpu_has_avx512_bf16()) all.push_back({&hr::network_rounded_amx, false});
#endif
    return all;
}

void all_tables_stay_in_the_bound() {
    for (unsigned seed = 0; seed < 40; ++seed) {
        Layers net(seed, seed % 3 ? 100 : 65);
        const std::vector<float> packed = net.packed();
        const hr_network_program program = net.view(&packed);
        const Call call(net, {5, 0, 33, 1, 64});
        const std::vector<float> scalar = answer(program, call, hr::network_rounded_scalar);
        for (const Table& table : tables()) {
            const std::vector<float> got = answer(program, call, *table.kernels);
            CHECK(layers::close(net, call, got));
            if (table.exact) CHECK(layers::same(got, scalar));
            CHECK(layers::same(got, answer(program, call, *table.kernels, 3)));
        }
    }
}

void float32_is_another_answer() {
    Layers net(3);
    const std::vector<float> packed = net.packed();
    const Call call(net, {40});
    const hr_network_program plain = net.view(nullptr), rounded = net.view(&packed);
    CHECK(!layers::same(answer(plain, call, hr::network_kernels_scalar),
                        answer(rounded, call, hr::network_rounded_scalar)));
}

// A layer of 17 inputs and 33 outputs, stride 34: all weights rounded, then 3 tiles of 16 outputs.
void packing_by_hand() {
    Layers net(0);
    net.pair.clear();
    net.weights = net.draw(16 * 34 + 33);
    Layers::add(net.pair, {hr::kRows, 0, net.item_width, -1, 0, -1, -1});
    Layers::add(net.pair, {hr::kAffine, net.item_width, 33, 2, 17, 0, 34, -1, 0, 0});
    const std::vector<float> packed = net.packed();
    const size_t whole = (net.weights.size() + 15) / 16 * 16;
    CHECK(packed.size() == whole + 3 * 256);
    for (size_t i = 0; i < net.weights.size(); ++i) CHECK(packed[i] == layers::rounded(net.weights[i]));
    for (size_t o = 0; o < 48; ++o)
        for (size_t k = 0; k < 32; ++k) {
            uint32_t word, bits;
            std::memcpy(&word, &packed[whole + o * 16 + k / 2], 4);
            bits = (k % 2 ? word >> 16 : word & 0xffff) << 16;
            float weight;
            std::memcpy(&weight, &bits, 4);
            CHECK(weight == (o < 33 && k < 17 ? layers::rounded(net.weights[k * 34 + o]) : 0.0f));
        }
}

void refusals() {
    Layers net(1);
    std::vector<float> packed = net.packed();
    Call call(net, {3});
    const hr_network_requests requests{1, call.inputs.data(), 0, nullptr};
    const hr_network_candidates candidates{3, call.offsets.data(), call.item.data(), 0, nullptr, nullptr};
    hr_network_program p = net.view(&packed);
    std::vector<float> out(static_cast<size_t>(3 * p.pair.width));
    CHECK(hr_network(&p, &requests, &candidates, 1, out.data()) == HR_OK);
    --p.packed_count;
    CHECK(hr_network(&p, &requests, &candidates, 1, out.data()) == HR_INVALID);
    CHECK(std::strstr(hr_last_error(), "packed: expected"));
    int64_t count = 0;
    CHECK(hr_network_packed_count(nullptr, &count) == HR_INVALID);
    CHECK(hr_network_packed_count(&p, nullptr) == HR_INVALID);
    CHECK(hr_network_pack(&p, nullptr) == HR_INVALID);
    p.weights = nullptr;
    CHECK(hr_network_packed_count(&p, &count) == HR_INVALID);
    p = net.view(nullptr);
    p.weight_count /= 2;
    CHECK(hr_network_packed_count(&p, &count) == HR_INVALID);
    CHECK(hr_network_pack(&p, packed.data()) == HR_INVALID);
}

}  // namespace

int main() {
    packing_by_hand();
    all_tables_stay_in_the_bound();
    float32_is_another_answer();
    refusals();
    for (const Table& table : tables()) layers::check_hostile(*table.kernels);
    return report("network_bfloat16");
}
