#include "closeness/closeness_kernel.h"

constinit const hr::ClosenessKernels hr::closeness_kernels_scalar = kKernels;
