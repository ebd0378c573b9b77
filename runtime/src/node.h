// One operator of a flatbuffer, read and checked. Whatever a later room relies on is checked here.

#ifndef FTBNN_NODE_H
#define FTBNN_NODE_H

#include "tensors.h"

typedef enum {
  NODE_CONSTANT,  // a DEQUANTIZE of a constant
  NODE_QUANTIZE,
  NODE_DEQUANTIZE,
  NODE_BCONV,
  NODE_BMAXPOOL,
  NODE_PRELU,
  NODE_ADD,
  NODE_CONCATENATION,
  NODE_SPLIT,
  NODE_SLICE,  // of channels
  NODE_DEPTHWISE,
  NODE_CONV,
  NODE_DENSE,  // of a map of one pixel, with filters of 8 bits
  NODE_AVERAGE,
  NODE_MAX,
} NodeKind;

// How a window moves over a map.
typedef struct {
  int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  int top, left;  // padding
} Window;

typedef struct {
  NodeKind kind;
  const TfLiteIntArray *inputs, *outputs;  // the interpreter's
  Window window;
  int channels_in, groups;  // of NODE_BCONV
  bool pads_with_zero;
  int first_channel;  // of NODE_SLICE
  TfLiteFusedActivation activation;
} Node;

// Reads a node. False, with a reason, where it is none of ours, or does not fit.
bool node_read(const Tensors *tensors, const TfLiteNode *from, const TfLiteRegistration *registration, Node *node,
               const char **why);

// Whether a node is one of LCE's operators, by its name.
bool node_is_lce(const TfLiteRegistration *registration);

#endif
