#include <string.h>

#include "reading.h"

// A float map in and one out.
static bool float_maps(const Tensors *tensors, const TfLiteNode *from, Shape *in, Shape *out) {
  return from->inputs->size >= 1 && from->outputs->size == 1 &&
         is_variable(tensors, from->inputs->data[0], kTfLiteFloat32) &&
         is_variable(tensors, from->outputs->data[0], kTfLiteFloat32) &&
         tensor_shape(tensors, from->inputs->data[0], in) && tensor_shape(tensors, from->outputs->data[0], out);
}

// A float constant of one value a channel: as many a row are spread over a map in another way.
static bool is_per_channel(const Tensors *tensors, int tensor, int channels) {
  const TfLiteTensor *t = tensor_at(tensors, tensor);
  return t && t->dims && t->dims->size > 0 && t->dims->data[t->dims->size - 1] == channels &&
         tensor_is_constant(tensors, tensor, kTfLiteFloat32, channels);
}

bool read_prelu(const Tensors *tensors, const TfLiteNode *from, const char **why) {
  Shape in, out;
  if (!float_maps(tensors, from, &in, &out) || from->inputs->size != 2 || !same_map(in, out) || in.c != out.c ||
      !is_per_channel(tensors, from->inputs->data[1], in.c))
    REFUSE("it is no PRELU of one slope a channel");
  return true;
}

bool read_add(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  Shape in, out, other;
  const TfLiteAddParams *params = from->builtin_data;
  if (!params || !float_maps(tensors, from, &in, &out) || from->inputs->size != 2 ||
      !is_variable(tensors, from->inputs->data[1], kTfLiteFloat32) ||
      !tensor_shape(tensors, from->inputs->data[1], &other) || memcmp(&in, &out, sizeof in) != 0 ||
      memcmp(&in, &other, sizeof in) != 0)
    REFUSE("it adds no two maps of one size");
  if (params->activation != kTfLiteActNone && params->activation != kTfLiteActRelu) REFUSE("its activation is unknown");
  node->activation = params->activation;
  return true;
}

// A factor a channel, or one for all: a depthwise convolution with a window of one pixel.
bool read_mul(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  Shape in, out;
  const TfLiteMulParams *params = from->builtin_data;
  if (!params || !float_maps(tensors, from, &in, &out) || from->inputs->size != 2 ||
      memcmp(&in, &out, sizeof in) != 0 ||
      !(is_per_channel(tensors, from->inputs->data[1], in.c) ||
        tensor_is_constant(tensors, from->inputs->data[1], kTfLiteFloat32, 1)))
    REFUSE("it multiplies no map by one factor a channel");
  if (params->activation > kTfLiteActRelu6) REFUSE("its activation is unknown");
  node->activation = params->activation;
  node->window = (Window){1, 1, 1, 1, 1, 1, 0, 0};
  return true;
}

// Float maps or packed ones, cut or joined along their channels.
bool read_joint(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  const bool joins = node->kind == NODE_CONCATENATION;
  const TfLiteIntArray *parts = joins ? from->inputs : from->outputs;
  const TfLiteIntArray *wholes = joins ? from->outputs : from->inputs;
  if (!from->builtin_data || parts->size < 1 || wholes->size != (joins ? 1 : 2)) REFUSE("it cuts or joins nothing");
  if (joins) {
    const TfLiteConcatenationParams *params = from->builtin_data;
    if (params->axis != 3 && params->axis != -1) REFUSE("it joins along another axis than channels");
    if (params->activation != kTfLiteActNone) REFUSE("its activation is unknown");
  } else {
    if (!tensor_is_constant(tensors, wholes->data[0], kTfLiteInt32, 1)) REFUSE("its axis is no constant");
    const int axis = *(const int32_t *)tensor_at(tensors, wholes->data[0])->data;
    if (axis != 3 && axis != -1) REFUSE("it cuts along another axis than channels");
  }
  const int tensor = wholes->data[joins ? 0 : 1];
  Shape whole, part;
  if (!tensor_shape(tensors, tensor, &whole)) REFUSE("it is of no map");
  const TfLiteType type = tensor_at(tensors, tensor)->type;
  if (type != kTfLiteFloat32 && type != kTfLiteInt32) REFUSE("it is neither of floats nor of packed signs");
  int64_t channels = 0;
  for (int i = -1; i < parts->size; ++i) {
    const int each = i < 0 ? tensor : parts->data[i];
    if (!tensor_shape(tensors, each, &part) || !same_map(part, whole) || tensor_at(tensors, each)->type != type ||
        tensor_is_known(tensors, each))
      REFUSE("its maps do not fit each other");
    if (i >= 0) channels += part.c;
    if (i > 0 && !joins) {
      Shape first;
      if (!tensor_shape(tensors, parts->data[0], &first) || first.c != part.c) REFUSE("its parts differ in size");
    }
  }
  if (channels != whole.c) REFUSE("its channels do not add up");
  return true;
}

// Some channels of a map, float or packed.
bool read_slice(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  const TfLiteStridedSliceParams *params = from->builtin_data;
  if (!params || from->inputs->size != 4 || from->outputs->size != 1) REFUSE("it cuts nothing");
  const int whole = from->inputs->data[0], part = from->outputs->data[0];
  Shape in, out;
  if (!(is_variable(tensors, whole, kTfLiteFloat32) || is_packed(tensors, whole)) ||
      !tensor_shape(tensors, whole, &in) || !is_variable(tensors, part, tensor_at(tensors, whole)->type) ||
      !tensor_shape(tensors, part, &out) || !same_map(in, out))
    REFUSE("it needs a map of floats or of packed signs in, and one of its size out");
  const int32_t *limits[3];
  for (int i = 0; i < 3; ++i) {
    if (!tensor_is_constant(tensors, from->inputs->data[i + 1], kTfLiteInt32, 4)) REFUSE("its limits are no constants");
    limits[i] = tensor_at(tensors, from->inputs->data[i + 1])->data;
  }
  if (params->ellipsis_mask || params->new_axis_mask || params->shrink_axis_mask) REFUSE("it changes the rank");
  // INT32_MAX for the pictures: another number could be changed.
  const int sides[] = {INT32_MAX, in.h, in.w, in.c};
  int begin = 0, end = 0;
  for (int i = 0; i < 4; ++i) {
    begin = params->begin_mask >> i & 1 ? 0 : limits[0][i];
    end = params->end_mask >> i & 1 ? sides[i] : min_int(limits[1][i], sides[i]);
    if (limits[2][i] != 1) REFUSE("its strides are not 1");
    if (i < 3 && (begin != 0 || end != sides[i])) REFUSE("it cuts along another axis than channels");
  }
  begin += begin < 0 ? in.c : 0, end += end < 0 ? in.c : 0;
  // Were the end an offset of the begin, the output would have other channels.
  if (begin < 0 || begin > in.c || end - begin != out.c) REFUSE("its limits do not fit its output");
  node->first_channel = begin;
  return true;
}

bool read_conv(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  Shape in, out;
  const bool depthwise = node->kind == NODE_DEPTHWISE;
  if (!from->builtin_data || !float_maps(tensors, from, &in, &out) || from->inputs->size < 2 || from->inputs->size > 3)
    REFUSE("it is no convolution of a float map");
  Window *w = &node->window;
  TfLitePadding padding;
  if (depthwise) {
    const TfLiteDepthwiseConvParams *p = from->builtin_data;
    padding = p->padding, node->activation = p->activation;
    w->stride_h = p->stride_height, w->stride_w = p->stride_width;
    w->dilation_h = p->dilation_height_factor, w->dilation_w = p->dilation_width_factor;
  } else {
    const TfLiteConvParams *p = from->builtin_data;
    padding = p->padding, node->activation = p->activation;
    w->stride_h = p->stride_height, w->stride_w = p->stride_width;
    w->dilation_h = p->dilation_height_factor, w->dilation_w = p->dilation_width_factor;
  }
  const TfLiteTensor *filter = tensor_at(tensors, from->inputs->data[1]);
  if (!filter || !filter->dims || filter->dims->size != 4) REFUSE("its filters have not four dimensions");
  const int *f = filter->dims->data;
  for (int i = 0; i < 4; ++i) {
    if (f[i] < 1 || f[i] > (i == 1 || i == 2 ? MAX_KERNEL : MAX_CHANNELS))
      REFUSE("its filters have a size out of range");
  }
  if (depthwise ? f[0] != 1 || f[3] != in.c || out.c != in.c : f[0] != out.c || f[3] != in.c)
    REFUSE("its filters do not fit its channels");
  w->kernel_h = f[1], w->kernel_w = f[2];
  const int64_t count = (int64_t)f[0] * f[1] * f[2] * f[3];
  if (count > MAX_BYTES / 16 || !tensor_is_constant(tensors, from->inputs->data[1], kTfLiteFloat32, count))
    REFUSE("its filters are no float constant");
  if (from->inputs->size == 3 && from->inputs->data[2] >= 0 &&
      !tensor_is_constant(tensors, from->inputs->data[2], kTfLiteFloat32, out.c))
    REFUSE("its biases do not fit its filters");
  if (!window_fits(w, padding, in, out)) REFUSE("its strides, dilations or output's size do not fit");
  if (node->activation > kTfLiteActRelu6) REFUSE("its activation is unknown");
  return true;
}

// Filters of 8 bits alone: those of floats are the interpreter's.
bool read_dense(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  Shape in, out;
  const TfLiteFullyConnectedParams *params = from->builtin_data;
  if (!params || !float_maps(tensors, from, &in, &out) || from->inputs->size < 2 || from->inputs->size > 3 ||
      in.h * in.w != 1 || out.h * out.w != 1)
    REFUSE("it is no dense layer of a map of one pixel");
  if (params->weights_format != 0) REFUSE("its filters lie in another order");
  if (!tensor_bytes(tensors, from->inputs->data[1], out.c, in.c)) REFUSE("its filters are not stored in 8 bits");
  if (from->inputs->size == 3 && from->inputs->data[2] >= 0 &&
      !tensor_is_constant(tensors, from->inputs->data[2], kTfLiteFloat32, out.c))
    REFUSE("its biases do not fit its filters");
  node->activation = params->activation;
  if (node->activation > kTfLiteActRelu6) REFUSE("its activation is unknown");
  return true;
}

bool read_pool(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  Shape in, out;
  const TfLitePoolParams *p = from->builtin_data;
  if (!p || !float_maps(tensors, from, &in, &out) || in.c != out.c) REFUSE("it is no pool of a float map");
  node->window = (Window){p->filter_height, p->filter_width, p->stride_height, p->stride_width, 1, 1, 0, 0};
  node->activation = p->activation;
  if (!window_fits(&node->window, p->padding, in, out)) REFUSE("its window, strides or output's size do not fit");
  if (node->activation > kTfLiteActRelu6) REFUSE("its activation is unknown");
  return true;
}
