// The one ladder of instruction sets: which of an op's tables of kernels serves a call.
//
// A table is a constant object named for its instruction set, as x_kernels_avx2. It is defined constinit in the file of
// that suffix, so that nothing of the file runs before it is asked for.
#pragma once

#include "core/cpu.h"

// The address of a table that only x86 builds have; null elsewhere.
#if HEADRACE_X86
#define HR_X86(table) (&(table))
#else
#define HR_X86(table) nullptr
#endif

namespace hr {

// Null where an op has nothing of its own for a level or an extension: the next lower one serves.
template <class Table>
struct Tables {
    const Table *scalar, *avx2 = nullptr, *avx512 = nullptr;
    const Table *avxvnni = nullptr, *avx512vnni = nullptr, *avx512bf16 = nullptr, *amx = nullptr;
};

// Of the level in use; throws as active_isa does.
template <class Table>
const Table& pick(const Tables<Table>& of) {
    const hr_isa level = active_isa();
    if (level >= HR_ISA_AMX && of.amx) return *of.amx;
    if (level >= HR_ISA_AVX512) {
        if (of.avx512bf16 && cpu_has_avx512_bf16()) return *of.avx512bf16;
        if (of.avx512vnni && cpu_has_avx512_vnni()) return *of.avx512vnni;
        if (of.avx512) return *of.avx512;
    }
    if (level >= HR_ISA_AVX2) {
        if (of.avxvnni && cpu_has_avx_vnni()) return *of.avxvnni;
        if (of.avx2) return *of.avx2;
    }
    return *of.scalar;
}

}  // namespace hr
