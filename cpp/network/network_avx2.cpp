#include "network/machine.h"

constinit const hr::NetworkKernels hr::network_kernels_avx2 = kKernels;
