#include "mixture_of_experts/mixture_of_experts_kernel.h"

constinit const hr::MixtureKernels hr::mixture_kernels_avx2 = kKernels;
