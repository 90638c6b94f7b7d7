// The tile kernel of network on a model of the tile registers, which aborts where a processor would fault.
#define HEADRACE_AMX_MODEL 1
#include "amx_model.h"
#include "core/cpu.h"
#include "network_layers.h"

namespace hr {
extern const NetworkKernels network_rounded_amx_model;
}

namespace {

using layers::answer;
using layers::Call;
using layers::Layers;

void logits_stay_in_the_bound() {
    for (unsigned seed = 0; seed < 60; ++seed) {
        Layers net(seed, seed % 3 ? 100 : 65);
        const std::vector<float> packed = net.packed();
        const hr_network_program program = net.view(&packed);
        const Call call(net, {5, 0, 33, 1, 64});
        const std::vector<float> got = answer(program, call, hr::network_rounded_amx_model);
        CHECK(layers::close(net, call, got));
        CHECK(layers::same(got, answer(program, call, hr::network_rounded_amx_model, 3)));
    }
}

// One layer of every size around those of tiles; those with tiles are multiplied in them.
void every_size() {
    for (int64_t inputs : {1, 15, 16, 17, 31, 32, 33, 64, 65, 97})
        for (int64_t width : {1, 7, 8, 15, 16, 17, 31, 32, 33, 48, 65}) {
            Layers net(7);
            net.pair.clear();
            net.weights = net.draw((inputs - 1) * width + width);
            Layers::add(net.pair, {hr::kRows, 0, net.item_width, -1, 0, -1, -1});
            Layers::add(net.pair, {hr::kAffine, net.item_width, width, 3, inputs, 0, width, -1, 0, 0});
            net.columns = net.item_width + width;
            const std::vector<float> packed = net.packed();
            const Call call(net, {37});
            hr::amx_model.products = 0;
            const hr_network_program program = net.view(&packed);
            std::vector<float> got;
            long long products = 0;
            std::thread([&] {
                const hr_network_requests requests{1, call.inputs.data(), 0, nullptr};
                const hr_network_candidates candidates{37, call.offsets.data(), call.item.data(), 0, nullptr, nullptr};
                got.assign(static_cast<size_t>(width * 37), NAN);
                hr::run_network(program, requests, candidates, 1, got.data(), hr::network_rounded_amx_model);
                products = hr::amx_model.products;
                CHECK(!hr::amx_model.configured);
            }).join();
            CHECK(layers::close(net, call, got));
            const bool tiled = inputs >= 16 && width >= 8 && inputs * width >= 512;
            CHECK(products == (tiled ? 2 * 2 * ((inputs + 31) / 32) * ((width + 15) / 16) : 0));
        }
}

// Only a machine with AMX shows that the model is right.
void the_processor_agrees_with_the_bound() {
    if (!hr_isa_usable(HR_ISA_AMX)) {
        std::printf("skipped: this machine cannot run amx, so the model stands for it\n");
        return;
    }
    int unlike = 0;
    for (unsigned seed = 0; seed < 40; ++seed) {
        Layers net(seed);
        const std::vector<float> packed = net.packed();
        const hr_network_program program = net.view(&packed);
        const Call call(net, {5, 0, 33, 1, 64});
        const std::vector<float> got = answer(program, call, hr::network_rounded_amx);
        CHECK(layers::close(net, call, got));
        unlike += !layers::same(got, answer(program, call, hr::network_rounded_amx_model));
    }
    if (unlike) std::printf("%d of 40 programs: the processor rounds unlike the model\n", unlike);
}

}  // namespace

int main() {
    if (!hr::cpu_has_avx512_bf16()) {
        std::printf("skipped: AVX512-BF16 pairs up what AMX multiplies, and this machine cannot run it\n");
        return report("network_amx");
    }
    every_size();
    logits_stay_in_the_bound();
    layers::check_hostile(hr::network_rounded_amx_model);
    the_processor_agrees_with_the_bound();
    return report("network_amx");
}
