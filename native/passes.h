// Passes over activations in training, each over values that lie side by side
// or over rows of channels.

#ifndef FTBNN_PASSES_H
#define FTBNN_PASSES_H

#include <stdbool.h>
#include <stdint.h>

// Values, and rows, of which a thread takes one lot or more.
enum { VALUES_OF_LOT = 1 << 14, ROWS_OF_LOT = 256 };

typedef struct {
  const float *x;
  const void *upstream;     // gradients of the result: float, or bfloat16
  void *result;             // float, or bfloat16
  int64_t count, channels;  // of values or rows
  int64_t first;            // channel of the result
} Pass;

// x < 0 as 1 or 0.
void pass_negative_float(void *pass, int first, int last);
void pass_negative_bfloat16(void *pass, int first, int last);

// max(0, 2 - 2 |x|) times the gradient.
void pass_sign_gradient_float(void *pass, int first, int last);
void pass_sign_gradient_bfloat16(void *pass, int first, int last);

// The channels from `first` on, then those before it.
void pass_rotate(void *pass, int first, int last);

#endif
