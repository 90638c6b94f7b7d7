#include "network/machine.h"

const hr::NetworkKernels* hr::network_kernels_avx512() { return &kTable; }
