#include "network/rounded.h"

constinit const hr::NetworkKernels hr::network_kernels_avx512 = kKernels<Plain>;
constinit const hr::NetworkKernels hr::network_rounded_avx512 = kKernels<Rounded>;
