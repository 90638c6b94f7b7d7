#include "dpp/dpp_kernel.h"

const hr::GreedyKernels* hr::greedy_kernels_scalar() { return &kTable; }
