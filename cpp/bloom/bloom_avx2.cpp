#include "bloom/bloom_kernel.h"

constinit const hr::BloomKernels hr::bloom_kernels_avx2 = kKernels;
