// The binary convolution of a training step: signs of float activations by
// signs of float weights, by the micro-kernels of the runtime.

#ifndef FTBNN_CONV_H
#define FTBNN_CONV_H

#include "bconv.h"
#include "threads.h"

// What is outside of the map counts as +1. A group's input is that of the group `turn` places further.
typedef struct {
  const float *input;   // [picture][h][w][channels]
  const float *kernel;  // [kernel_h][kernel_w][channels / groups][filters]
  void *output;         // [picture][out_h][out_w][filters], floats or int16
  bool is_int16;        // for sums that fit
  int pictures, h, w, channels;
  int kernel_h, kernel_w, groups, filters, turn;
  int stride, top, left, out_h, out_w;
  // The packed signs of each picture, with what is outside of it: [picture][frame_h][frame_w][group][word].
  uint32_t *frames;
  int frame_h, frame_w;
} Convolution;

// Words of a pixel of a frame, and of a frame.
static inline ptrdiff_t pixel_words(const Convolution *shape) {
  return (ptrdiff_t)shape->groups * words_of(shape->channels / shape->groups);
}
static inline ptrdiff_t frame_words(const Convolution *shape) {
  return pixel_words(shape) * shape->frame_h * shape->frame_w;
}

// The least size of frames: all that windows reach, also those of a pixel that makes an odd number even.
static inline int least_frame_h(const Convolution *shape) {
  return round_up((shape->out_h - 1) * shape->stride + shape->kernel_h, shape->stride);
}
static inline int least_frame_w(const Convolution *shape) {
  return round_up((round_up(shape->out_w, 2) - 1) * shape->stride + shape->kernel_w, shape->stride);
}

// Sets the size of frames: whole strides of rows and columns, that hold the map too.
static inline void set_frame(Convolution *shape) {
  shape->frame_h = max_int(round_up(shape->top + shape->h, shape->stride), least_frame_h(shape));
  shape->frame_w = max_int(round_up(shape->left + shape->w, shape->stride), least_frame_w(shape));
}

// Finds the frames and the output. False where there is no memory.
bool convolve(const Convolution *convolution, Threads *threads);

#endif
