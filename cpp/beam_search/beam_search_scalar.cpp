#include "beam_search/beam_search_kernel.h"

constinit const hr::BeamKernels hr::beam_kernels_scalar = kKernels;
