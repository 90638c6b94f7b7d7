#include "core/cpu.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "core/status.h"

#if HEADRACE_X86
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

constexpr std::array<const char*, 4> kNames{"scalar", "avx2", "avx512", "amx"};

#if HEADRACE_X86

struct Registers {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf) {
    Registers r;
    __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

bool has(unsigned word, std::initializer_list<int> bits) {
    for (int bit : bits)
        if (!(word >> bit & 1u)) return false;
    return true;
}

// The register state that the operating system saves; without it the instructions fault.
__attribute__((target("xsave"))) unsigned long long saved_state() { return _xgetbv(0); }

// Asked once, for all threads of the process, those that run and those to come. It is refused where a thread's signal
// stack is too small for the tiles.
bool amx_permitted() {
    constexpr int kArchReqXcompPerm = 0x1023, kTileData = 18;
    return syscall(SYS_arch_prctl, kArchReqXcompPerm, kTileData) == 0;
}

std::array<bool, 4> detect() {
    std::array<bool, 4> usable{true, false, false, false};
    const Registers one = cpuid(1, 0), seven = cpuid(7, 0);
    if (!has(one.ecx, {27})) return usable;  // OSXSAVE
    const unsigned long long state = saved_state();
    // FMA, AVX, F16C; BMI1, AVX2, BMI2, and the YMM state.
    usable[HR_ISA_AVX2] = has(one.ecx, {12, 28, 29}) && has(seven.ebx, {3, 5, 8}) && (state & 0x6) == 0x6;
    // AVX-512 F, DQ, BW, VL and the opmask and ZMM state.
    usable[HR_ISA_AVX512] = usable[HR_ISA_AVX2] && has(seven.ebx, {16, 17, 30, 31}) && (state & 0xE6) == 0xE6;
    // AMX bf16, tile, int8 and the tile state.
    usable[HR_ISA_AMX] =
        usable[HR_ISA_AVX512] && has(seven.edx, {22, 24, 25}) && (state & 0x60000) == 0x60000 && amx_permitted();
    return usable;
}

// Leaf 7, subleaf 1 exists where subleaf 0 says so.
unsigned more_features() { return cpuid(7, 0).eax >= 1 ? cpuid(7, 1).eax : 0; }

#else

std::array<bool, 4> detect() { return {true, false, false, false}; }

#endif

const std::array<bool, 4>& usable_levels() {
    static const std::array<bool, 4> levels = detect();
    return levels;
}

void require_usable(const char* what, int level) {
    if (!usable_levels()[level])
        throw std::invalid_argument(std::string(what) + ": this machine cannot run " + kNames[level]);
}

int from_environment() {
    const char* value = std::getenv("HEADRACE_ISA");
    if (!value || !*value) {
        int best = HR_ISA_AMX;
        while (!usable_levels()[best]) --best;
        return best;
    }
    for (int level = 0; level < static_cast<int>(kNames.size()); ++level)
        if (std::string_view(value) == kNames[level]) {
            require_usable("HEADRACE_ISA", level);
            return level;
        }
    throw std::invalid_argument(std::string("HEADRACE_ISA: expected scalar, avx2, avx512 or amx, got '") + value + "'");
}

std::atomic<int>& active() {
    static std::atomic<int> level{from_environment()};
    return level;
}

}  // namespace

hr_isa hr::active_isa() { return static_cast<hr_isa>(active().load(std::memory_order_relaxed)); }

const char* hr::isa_name(hr_isa level) { return kNames[level]; }

#if HEADRACE_X86
bool hr::cpu_has_avx_vnni() { return usable_levels()[HR_ISA_AVX2] && has(more_features(), {4}); }
bool hr::cpu_has_avx512_vnni() { return usable_levels()[HR_ISA_AVX512] && has(cpuid(7, 0).ecx, {11}); }
bool hr::cpu_has_avx512_bf16() { return usable_levels()[HR_ISA_AVX512] && has(more_features(), {5}); }
#else
bool hr::cpu_has_avx_vnni() { return false; }
bool hr::cpu_has_avx512_vnni() { return false; }
bool hr::cpu_has_avx512_bf16() { return false; }
#endif

int hr_isa_usable(int level) { return level >= HR_ISA_SCALAR && level <= HR_ISA_AMX && usable_levels()[level] ? 1 : 0; }

hr_status hr_get_isa(hr_isa* level) {
    return hr::guarded([&] {
        if (!level) throw std::invalid_argument("level: expected a pointer, got null");
        *level = hr::active_isa();
    });
}

hr_status hr_set_isa(int level) {
    return hr::guarded([&] {
        if (level < HR_ISA_SCALAR || level > HR_ISA_AMX)
            throw std::invalid_argument("level: expected 0 to 3, got " + std::to_string(level));
        require_usable("level", level);
        active().store(level, std::memory_order_relaxed);
    });
}
