// The tensors of a graph, and the constants among them.

#ifndef FTBNN_TENSORS_H
#define FTBNN_TENSORS_H

#include "common.h"
#include "tflite.h"

// Height, width and channels of one picture's tensor, NHWC.
typedef struct {
  int h, w, c;
} Shape;

// Converters store float weights in 8 or 16 bits, and a DEQUANTIZE behind them. What it makes counts as a constant too.
typedef struct {
  TfLiteContext *context;
  size_t count;
  int *origin;  // [tensor] the constant that a DEQUANTIZE makes this one of, or -1
} Tensors;

// No constants are known yet. False where memory is short.
bool tensors_create(Tensors *tensors, TfLiteContext *context);

bool tensors_copy(Tensors *tensors, const Tensors *from);

void tensors_free(Tensors *tensors);

// Notes what a node makes of a constant, if it is such a DEQUANTIZE.
void tensors_learn(Tensors *tensors, const TfLiteNode *node, const TfLiteRegistration *registration);

// NULL where there is no such tensor.
const TfLiteTensor *tensor_at(const Tensors *tensors, int index);

// Whether a tensor's values are known before the first picture. The index is valid.
bool tensor_is_known(const Tensors *tensors, int index);

// Shape of a tensor of rank 4, or of rank 2, which is a map of one pixel. False where it has another rank, or a side
// that is refused.
bool tensor_shape(const Tensors *tensors, int index, Shape *shape);

// Whether a tensor is a constant of this type and as many elements, of which the buffer holds all.
bool tensor_is_constant(const Tensors *tensors, int index, TfLiteType type, int64_t count);

// Elements of a constant that a DEQUANTIZE makes; -1 where it makes none.
int64_t tensor_made(const Tensors *tensors, int index);

// What a DEQUANTIZE makes filters of, [filter][channel], if that is int8 without zero points and with one scale for all
// or one a filter; else NULL.
const int8_t *tensor_bytes(const Tensors *tensors, int index, int filters, int channels);

// The scale of one of its filters.
float tensor_scale(const Tensors *tensors, int index, int filter);

// Elements `first` to `first` + `count` - 1 of a float constant.
void tensor_floats(const Tensors *tensors, int index, int64_t first, int64_t count, float *to);

#endif
