#include "topk/topk_kernel.h"

constinit const hr::TopkKernels hr::topk_kernels_avx512 = kKernels;
