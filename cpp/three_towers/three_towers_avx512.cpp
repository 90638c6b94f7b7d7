#include "three_towers/three_towers_kernel.h"

const hr::TowersKernels* hr::towers_kernels_avx512() { return &kTable; }
