// Passes over activations in training, each over rows of channels.

#ifndef FTBNN_PASSES_H
#define FTBNN_PASSES_H

#include <stdbool.h>
#include <stdint.h>

// A thread takes one lot or more.
enum { ROWS_OF_LOT = 256 };

typedef struct {
  const float *x;        // [row][channel]
  const void *upstream;  // [row][channel], gradients of signs: floats, or bfloat16
  const float *added;    // [row][channel], or NULL
  void *result;          // [row][channel]: floats, or bfloat16
  int64_t rows, channels;
  int64_t first;  // the channel of x whose sign is the first
} Pass;

// Sums as int16, which they fit: values `first` to `last` - 1.
typedef struct {
  const float *restrict sums;
  int16_t *restrict result;
} Narrowed;
void narrow(void *narrowed, int first, int last);

// x < 0 as 1 or 0.
void pass_negative_float(void *pass, int first, int last);
void pass_negative_bfloat16(void *pass, int first, int last);

// max(0, 2 - 2 |x|) times the gradient, and what is added.
void pass_sign_gradient_float(void *pass, int first, int last);
void pass_sign_gradient_bfloat16(void *pass, int first, int last);

#endif
