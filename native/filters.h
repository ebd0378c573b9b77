// The gradient of a binary convolution's kernel, on processors with AVX-512.

#ifndef FTBNN_FILTERS_H
#define FTBNN_FILTERS_H

#include "conv.h"

typedef struct {
  Convolution shape;     // its input
  const void *upstream;  // [picture][out_h][out_w][filters], floats or bfloat16
  bool is_bfloat16;
  float *result;  // [kernel_h][kernel_w][channels / groups][filters]
} FilterGradient;

// Whether this processor has it.
bool has_filter_gradient(bool of_bfloat16);

// The sums of the gradients at the places where the input is below 0. False where there is no memory.
bool filter_gradient(const FilterGradient *gradient, Threads *threads);

#endif
