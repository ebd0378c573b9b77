// The gradient of a binary convolution's kernel, where the processor multiplies bfloat16.

#ifndef FTBNN_FILTERS_H
#define FTBNN_FILTERS_H

#include <stdint.h>

#include "conv.h"

typedef struct {
  Convolution shape;         // its input
  const uint16_t *upstream;  // bfloat16, [picture][out_h][out_w][filters]
  float *result;             // [kernel_h][kernel_w][channels / groups][filters]
} FilterGradient;

// Whether this processor does.
bool has_bfloat16(void);

// The sums of the gradients at the places where the input is below 0. False where there is no memory.
bool filter_gradient(const FilterGradient *gradient, Threads *threads);

#endif
