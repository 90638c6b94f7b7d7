#include "network/rounded.h"

constinit const hr::NetworkKernels hr::network_kernels_scalar = kKernels<Plain>;
constinit const hr::NetworkKernels hr::network_rounded_scalar = kKernels<Rounded>;
