#include "network/machine.h"

const hr::NetworkKernels* hr::network_kernels_scalar() { return &kTable; }
