#include "node.h"

#include <string.h>

#include "reading.h"

bool is_variable(const Tensors *tensors, int tensor, TfLiteType type) {
  const TfLiteTensor *t = tensor_at(tensors, tensor);
  return t && t->type == type && !tensor_is_known(tensors, tensor);
}

bool is_packed(const Tensors *tensors, int tensor) { return is_variable(tensors, tensor, kTfLiteInt32); }

bool same_map(Shape a, Shape b) { return a.h == b.h && a.w == b.w; }

// Sets the padding of one dimension; gives the outputs, or 0 where there are none.
static int outputs_of(int side, int kernel, int stride, int dilation, TfLitePadding padding, int *before) {
  const int span = (kernel - 1) * dilation + 1;
  *before = 0;
  if (padding == kTfLitePaddingValid) return side < span ? 0 : (side - span) / stride + 1;
  const int outputs = (side + stride - 1) / stride;
  *before = max_int(0, (outputs - 1) * stride + span - side) / 2;
  return outputs;
}

// Sets the window's padding. Whether the map that comes out is `out`.
bool window_fits(Window *w, TfLitePadding padding, Shape in, Shape out) {
  const int sizes[] = {w->kernel_h, w->kernel_w, w->stride_h, w->stride_w, w->dilation_h, w->dilation_w};
  for (int i = 0; i < 6; ++i) {
    if (sizes[i] < 1 || sizes[i] > MAX_KERNEL) return false;
  }
  if (padding != kTfLitePaddingSame && padding != kTfLitePaddingValid) return false;
  return outputs_of(in.h, w->kernel_h, w->stride_h, w->dilation_h, padding, &w->top) == out.h &&
         outputs_of(in.w, w->kernel_w, w->stride_w, w->dilation_w, padding, &w->left) == out.w;
}

static bool read_constant(const Tensors *tensors, const TfLiteNode *from, const char **why) {
  if (from->inputs->size != 1 || from->outputs->size != 1 || !tensor_at(tensors, from->outputs->data[0]) ||
      from->inputs->data[0] < 0 || tensors->origin[from->outputs->data[0]] != from->inputs->data[0])
    REFUSE("it makes no weights of a constant");
  return true;
}

static bool is_called(const TfLiteRegistration *registration, const char *name) {
  return registration->builtin_code == kTfLiteBuiltinCustom && registration->custom_name &&
         strcmp(registration->custom_name, name) == 0;
}

bool node_is_lce(const TfLiteRegistration *registration) {
  return is_called(registration, "LceQuantize") || is_called(registration, "LceBconv2d") ||
         is_called(registration, "LceBMaxPool2d") || is_called(registration, "LceDequantize");
}

bool node_read(const Tensors *tensors, const TfLiteNode *from, const TfLiteRegistration *registration, Node *node,
               const char **why) {
  *node = (Node){.inputs = from->inputs, .outputs = from->outputs};
#define READ(what, reader) \
  do {                     \
    node->kind = what;     \
    return reader;         \
  } while (0)
  if (is_called(registration, "LceQuantize")) READ(NODE_QUANTIZE, read_packing(tensors, from, node, why));
  if (is_called(registration, "LceDequantize")) READ(NODE_DEQUANTIZE, read_packing(tensors, from, node, why));
  if (is_called(registration, "LceBconv2d")) READ(NODE_BCONV, read_bconv(tensors, from, node, why));
  if (is_called(registration, "LceBMaxPool2d")) READ(NODE_BMAXPOOL, read_bmaxpool(tensors, from, node, why));
  switch (registration->builtin_code) {
    case kTfLiteBuiltinDequantize:
      READ(NODE_CONSTANT, read_constant(tensors, from, why));
    case kTfLiteBuiltinPrelu:
      READ(NODE_PRELU, read_prelu(tensors, from, why));
    case kTfLiteBuiltinAdd:
      READ(NODE_ADD, read_add(tensors, from, node, why));
    case kTfLiteBuiltinMul:
      READ(NODE_DEPTHWISE, read_mul(tensors, from, node, why));
    case kTfLiteBuiltinConcatenation:
      READ(NODE_CONCATENATION, read_joint(tensors, from, node, why));
    case kTfLiteBuiltinSplit:
      READ(NODE_SPLIT, read_joint(tensors, from, node, why));
    case kTfLiteBuiltinStridedSlice:
      READ(NODE_SLICE, read_slice(tensors, from, node, why));
    case kTfLiteBuiltinDepthwiseConv2d:
      READ(NODE_DEPTHWISE, read_conv(tensors, from, node, why));
    case kTfLiteBuiltinConv2d:
      READ(NODE_CONV, read_conv(tensors, from, node, why));
    case kTfLiteBuiltinFullyConnected:
      READ(NODE_DENSE, read_dense(tensors, from, node, why));
    case kTfLiteBuiltinAveragePool2d:
      READ(NODE_AVERAGE, read_pool(tensors, from, node, why));
    case kTfLiteBuiltinMaxPool2d:
      READ(NODE_MAX, read_pool(tensors, from, node, why));
  }
#undef READ
  REFUSE("it is none of ours");
}
