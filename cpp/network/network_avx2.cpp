#include "network/rounded.h"

constinit const hr::NetworkKernels hr::network_kernels_avx2 = kKernels<Plain>;
constinit const hr::NetworkKernels hr::network_rounded_avx2 = kKernels<Rounded>;
