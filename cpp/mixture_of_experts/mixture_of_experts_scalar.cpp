#include "mixture_of_experts/mixture_of_experts_kernel.h"

const hr::MixtureKernels* hr::mixture_kernels_scalar() { return &kTable; }
