// The binary convolution of a training step: signs of float activations by
// signs of float weights, by the micro-kernels of the runtime.

#ifndef FTBNN_CONV_H
#define FTBNN_CONV_H

#include "bconv.h"
#include "threads.h"

// What is outside of the map counts as +1.
typedef struct {
  const float *input;   // [picture][h][w][channels]
  const float *kernel;  // [kernel_h][kernel_w][channels / groups][filters]
  float *output;        // [picture][out_h][out_w][filters]
  int pictures, h, w, channels;
  int kernel_h, kernel_w, groups, filters;
  int stride, top, left, out_h, out_w;
} Convolution;

// Packs the signs of a picture into a frame of its rows and columns and of those outside of it, which it leaves as they
// are.
void pack_frame(const Convolution *shape, const Kernels *kernels, const float *picture, int frame_w, uint32_t *frame);

// False where there is no memory.
bool convolve(const Convolution *convolution, Threads *threads);

#endif
