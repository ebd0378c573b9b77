// The end of a unit in training: batch norm, two slopes, and the shortcut and a shift added.

#ifndef FTBNN_NORM_H
#define FTBNN_NORM_H

#include <stdbool.h>
#include <stdint.h>

#include "threads.h"

// y = shortcut + t + f(gamma (x - mean) / sqrt(variance + epsilon) + beta), with f(z) = p z where z > 0, else n z.
typedef struct {
  int64_t rows, channels;
  float epsilon;
  const void *x;                          // [row][channel], floats or int16
  bool is_int16;                          // of x
  const float *gamma, *beta, *p, *n, *t;  // [channel]
  float *mean, *variance;                 // [channel], of x over all rows
  const float *shortcut;                  // [row][channel]
  float *y;                               // [row][channel]
  const float *upstream;                  // [row][channel], the gradient of y and of the shortcut
  void *dx;                               // [row][channel], floats or bfloat16
  bool is_bfloat16;                       // of dx
  float *dgamma, *dbeta, *dp, *dn, *dt;   // the other gradients
} Norm;

// Finds the mean, the variance and y. False where there is no memory.
bool normalize(const Norm *norm, Threads *threads);

// Finds the gradients, of a mean and a variance that were found. False where there is no memory.
bool normalize_gradient(const Norm *norm, Threads *threads);

#endif
