#include "closeness/closeness_kernel.h"

const hr::ClosenessKernels* hr::closeness_kernels_scalar() { return &kKernels; }
