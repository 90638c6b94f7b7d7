#include "closeness/closeness_kernel.h"

const hr::ClosenessKernels* hr::closeness_kernels_avx2() { return &kKernels; }
