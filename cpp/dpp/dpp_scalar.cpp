#include "dpp/dpp_kernel.h"

constinit const hr::GreedyKernels hr::greedy_kernels_scalar = kKernels;
