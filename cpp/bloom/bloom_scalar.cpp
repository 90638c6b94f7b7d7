#include "bloom/bloom_kernel.h"

const hr::BloomKernels* hr::bloom_kernels_scalar() { return &kBlockKernels; }
