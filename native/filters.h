// The gradient of a binary convolution's kernel, on processors with AVX-512.

#ifndef FTBNN_FILTERS_H
#define FTBNN_FILTERS_H

#include "conv.h"

typedef struct {
  Convolution shape;     // its frames
  const void *upstream;  // [picture][out_h][out_w][filters], floats or bfloat16
  bool is_bfloat16;
  float *result;  // [kernel_h][kernel_w][channels / groups][filters]
} FilterGradient;

// Whether this processor has it.
bool has_filter_gradient(bool of_bfloat16);

// The sums of the gradients by the signs of the input. False where there is no memory.
bool filter_gradient(const FilterGradient *gradient, Threads *threads);

// Whether the processor has AMX, whose tiles are multiplied as matrices, and the system lets this process use it.
bool has_amx(void);

// The same by AMX, from bfloat16.
bool filter_gradient_by_amx(const FilterGradient *gradient, Threads *threads);

// Sums are made in tiles: so many filters by so many channels, half of those in a word of signs.
enum { FILTERS_OF_BLOCK = 16, LANES_OF_HALF = 16 };

// How many of them a group has.
static inline int blocks_of(const Convolution *shape) {
  return (shape->filters / shape->groups + FILTERS_OF_BLOCK - 1) / FILTERS_OF_BLOCK;
}
static inline int halves_of(const Convolution *shape) {
  return (shape->channels / shape->groups + LANES_OF_HALF - 1) / LANES_OF_HALF;
}

// Writes sums, [group][half][block][tap][a tile], in the order of a kernel. In a tile the next filter and the next
// channel are so many sums away.
void write_filter_gradient(const FilterGradient *gradient, const float *sums, int next_filter, int next_channel);

#endif
