#include "three_towers/three_towers_kernel.h"

constinit const hr::TowersKernels hr::towers_kernels_avx512 = kKernels;
