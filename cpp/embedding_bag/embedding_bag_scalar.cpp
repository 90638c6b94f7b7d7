#include "embedding_bag/embedding_bag_kernel.h"

constinit const hr::EmbeddingBagKernels hr::embedding_bag_kernels_scalar = kKernels;
