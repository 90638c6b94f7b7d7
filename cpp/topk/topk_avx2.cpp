#include "topk/topk_kernel.h"

const hr::TopkKernels hr::topk_kernels_avx2 = hr::kKernels;
