#include "node.h"

#include <string.h>

#include "options.h"

#define REFUSE(reason) return *why = (reason), false

static bool is_variable(const Tensors *tensors, int tensor, TfLiteType type) {
  const TfLiteTensor *t = tensor_at(tensors, tensor);
  return t && t->type == type && !tensor_is_known(tensors, tensor);
}

static bool is_packed(const Tensors *tensors, int tensor) { return is_variable(tensors, tensor, kTfLiteInt32); }

static bool same_map(Shape a, Shape b) { return a.h == b.h && a.w == b.w; }

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
static bool window_fits(Window *w, TfLitePadding padding, Shape in, Shape out) {
  const int sizes[] = {w->kernel_h, w->kernel_w, w->stride_h, w->stride_w, w->dilation_h, w->dilation_w};
  for (int i = 0; i < 6; ++i) {
    if (sizes[i] < 1 || sizes[i] > MAX_KERNEL) return false;
  }
  if (padding != kTfLitePaddingSame && padding != kTfLitePaddingValid) return false;
  return outputs_of(in.h, w->kernel_h, w->stride_h, w->dilation_h, padding, &w->top) == out.h &&
         outputs_of(in.w, w->kernel_w, w->stride_w, w->dilation_w, padding, &w->left) == out.w;
}

static bool read_bconv(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  const void *options = from->custom_initial_data;
  const size_t bytes = from->custom_initial_data_size < 0 ? 0 : (size_t)from->custom_initial_data_size;
  Window *w = &node->window;
  int padding, pad_values, activation;
  if (!options_int(options, bytes, "stride_height", &w->stride_h) ||
      !options_int(options, bytes, "stride_width", &w->stride_w) ||
      !options_int(options, bytes, "dilation_height_factor", &w->dilation_h) ||
      !options_int(options, bytes, "dilation_width_factor", &w->dilation_w) ||
      !options_int(options, bytes, "padding", &padding) || !options_int(options, bytes, "pad_values", &pad_values) ||
      !options_int(options, bytes, "channels_in", &node->channels_in) ||
      !options_int(options, bytes, "fused_activation_function", &activation))
    REFUSE("its options are damaged, or one is missing");
  if (from->inputs->size != 5 || from->outputs->size != 1) REFUSE("it needs 5 inputs and 1 output");
  const int *in = from->inputs->data, out = from->outputs->data[0];
  const TfLiteTensor *filter = tensor_at(tensors, in[1]), *output = tensor_at(tensors, out);
  Shape input, map;
  if (!is_packed(tensors, in[0]) || !tensor_shape(tensors, in[0], &input)) REFUSE("its input is no map of packed signs");
  if (!output || !tensor_shape(tensors, out, &map)) REFUSE("its output is no map");
  if (!filter || !filter->dims || filter->dims->size != 4) REFUSE("its filters have not four dimensions");
  const int *f = filter->dims->data;
  for (int i = 0; i < 4; ++i) {
    if (f[i] < 1 || f[i] > (i == 1 || i == 2 ? MAX_KERNEL : MAX_CHANNELS)) REFUSE("its filters have a size out of range");
  }
  const int filters = f[0];
  w->kernel_h = f[1], w->kernel_w = f[2];
  const int64_t words = (int64_t)filters * f[1] * f[2] * f[3];
  if (words > MAX_BYTES / 64 || !tensor_is_constant(tensors, in[1], kTfLiteInt32, words)) REFUSE("its filters are no constant");
  if (node->channels_in < 1 || node->channels_in > MAX_CHANNELS || words_of(node->channels_in) != input.c)
    REFUSE("channels_in does not fit its input");
  if (input.c % f[3]) REFUSE("its filters do not fit its input's channels");
  node->groups = input.c / f[3];
  if (node->groups > 1 && (node->channels_in % (node->groups * WORD) || filters % node->groups))
    REFUSE("its groups do not divide its channels");
  if (pad_values != 0 && pad_values != 1) REFUSE("pad_values is neither 0 nor 1");
  // TensorFlow Lite's schema, unlike its C structs, counts from 0.
  if (padding != 0 && padding != 1) REFUSE("its padding is neither SAME nor VALID");
  const TfLitePadding kind = padding == 0 ? kTfLitePaddingSame : kTfLitePaddingValid;
  node->pads_with_zero = kind == kTfLitePaddingSame && pad_values == 0;
  if (!window_fits(w, kind, input, map)) REFUSE("its strides, dilations or output's size do not fit");
  if (activation < kTfLiteActNone || activation > kTfLiteActRelu6) REFUSE("its activation is unknown");
  node->activation = (TfLiteFusedActivation)activation;
  // A sum stays far below what int32_t holds.
  if ((int64_t)f[1] * f[2] * f[3] * WORD > 1 << 24) REFUSE("it adds too many products");
  if (output->type == kTfLiteInt32) {
    if (map.c != words_of(filters) || !tensor_is_constant(tensors, in[4], kTfLiteInt32, filters))
      REFUSE("its thresholds do not fit its filters");
    return true;
  }
  if (output->type != kTfLiteFloat32 && output->type != kTfLiteInt8) REFUSE("its output is neither float, int8 nor packed");
  if (output->type == kTfLiteInt8 && !(output->params.scale > 0)) REFUSE("its int8 output has no scale");
  if (map.c != filters) REFUSE("its output does not fit its filters");
  for (int i = 2; i <= 3; ++i) {
    if (!tensor_is_constant(tensors, in[i], kTfLiteFloat32, filters)) REFUSE("its multipliers or biases do not fit its filters");
  }
  return true;
}

static bool read_bmaxpool(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  const void *options = from->custom_initial_data;
  const size_t bytes = from->custom_initial_data_size < 0 ? 0 : (size_t)from->custom_initial_data_size;
  Window *w = &node->window;
  int padding;
  if (!options_int(options, bytes, "filter_height", &w->kernel_h) ||
      !options_int(options, bytes, "filter_width", &w->kernel_w) ||
      !options_int(options, bytes, "stride_height", &w->stride_h) ||
      !options_int(options, bytes, "stride_width", &w->stride_w) || !options_int(options, bytes, "padding", &padding))
    REFUSE("its options are damaged, or one is missing");
  w->dilation_h = w->dilation_w = 1;
  Shape in, out;
  if (from->inputs->size != 1 || from->outputs->size != 1 || !is_packed(tensors, from->inputs->data[0]) ||
      !is_packed(tensors, from->outputs->data[0]) || !tensor_shape(tensors, from->inputs->data[0], &in) ||
      !tensor_shape(tensors, from->outputs->data[0], &out) || in.c != out.c)
    REFUSE("it needs one map of packed signs in, and one out");
  if (padding != 0 && padding != 1) REFUSE("its padding is neither SAME nor VALID");
  if (!window_fits(w, padding == 0 ? kTfLitePaddingSame : kTfLitePaddingValid, in, out))
    REFUSE("its window, strides or output's size do not fit");
  return true;
}

static bool read_packing(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  if (from->inputs->size != 1 || from->outputs->size != 1) REFUSE("it needs one input and one output");
  const int packs = node->kind == NODE_QUANTIZE;
  const int words = packs ? from->outputs->data[0] : from->inputs->data[0];
  const int values = packs ? from->inputs->data[0] : from->outputs->data[0];
  Shape packed, plain;
  if (!is_packed(tensors, words) || !tensor_shape(tensors, words, &packed) || !tensor_shape(tensors, values, &plain) ||
      !same_map(packed, plain) || packed.c != words_of(plain.c))
    REFUSE("it needs a map, and the same one packed");
  const TfLiteTensor *t = tensor_at(tensors, values);
  if (tensor_is_known(tensors, values) || (t->type != kTfLiteFloat32 && t->type != kTfLiteInt8 && t->type != kTfLiteBool))
    REFUSE("its values are neither float, int8 nor bool");
  if (!packs && t->type == kTfLiteInt8 && !(t->params.scale > 0)) REFUSE("its int8 output has no scale");
  return true;
}

// A float map in and one out.
static bool float_maps(const Tensors *tensors, const TfLiteNode *from, Shape *in, Shape *out) {
  return from->inputs->size >= 1 && from->outputs->size == 1 && is_variable(tensors, from->inputs->data[0], kTfLiteFloat32) &&
         is_variable(tensors, from->outputs->data[0], kTfLiteFloat32) && tensor_shape(tensors, from->inputs->data[0], in) &&
         tensor_shape(tensors, from->outputs->data[0], out);
}

static bool read_prelu(const Tensors *tensors, const TfLiteNode *from, const char **why) {
  Shape in, out;
  if (!float_maps(tensors, from, &in, &out) || from->inputs->size != 2 || !same_map(in, out) || in.c != out.c ||
      !tensor_is_constant(tensors, from->inputs->data[1], kTfLiteFloat32, in.c))
    REFUSE("it is no PRELU of one slope a channel");
  return true;
}

static bool read_add(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  Shape in, out, other;
  const TfLiteAddParams *params = from->builtin_data;
  if (!params || !float_maps(tensors, from, &in, &out) || from->inputs->size != 2 ||
      !is_variable(tensors, from->inputs->data[1], kTfLiteFloat32) || !tensor_shape(tensors, from->inputs->data[1], &other) ||
      memcmp(&in, &out, sizeof in) != 0 || memcmp(&in, &other, sizeof in) != 0)
    REFUSE("it adds no two maps of one size");
  if (params->activation != kTfLiteActNone && params->activation != kTfLiteActRelu) REFUSE("its activation is unknown");
  node->activation = params->activation;
  return true;
}

// Float maps or packed ones, cut or joined along their channels.
static bool read_joint(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
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
static bool read_slice(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  const TfLiteStridedSliceParams *params = from->builtin_data;
  if (!params || from->inputs->size != 4 || from->outputs->size != 1) REFUSE("it cuts nothing");
  const int whole = from->inputs->data[0], part = from->outputs->data[0];
  Shape in, out;
  if (!(is_variable(tensors, whole, kTfLiteFloat32) || is_packed(tensors, whole)) || !tensor_shape(tensors, whole, &in) ||
      !is_variable(tensors, part, tensor_at(tensors, whole)->type) || !tensor_shape(tensors, part, &out) || !same_map(in, out))
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

static bool read_conv(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
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
    if (f[i] < 1 || f[i] > (i == 1 || i == 2 ? MAX_KERNEL : MAX_CHANNELS)) REFUSE("its filters have a size out of range");
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

static bool read_pool(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  Shape in, out;
  const TfLitePoolParams *p = from->builtin_data;
  if (!p || !float_maps(tensors, from, &in, &out) || in.c != out.c) REFUSE("it is no pool of a float map");
  node->window = (Window){p->filter_height, p->filter_width, p->stride_height, p->stride_width, 1, 1, 0, 0};
  node->activation = p->activation;
  if (!window_fits(&node->window, p->padding, in, out)) REFUSE("its window, strides or output's size do not fit");
  if (node->activation != kTfLiteActNone) REFUSE("its activation is unknown");
  return true;
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
  if (!from->inputs || !from->outputs) REFUSE("it has no inputs or outputs");
  *node = (Node){.inputs = from->inputs, .outputs = from->outputs};
#define READ(what, reader)     \
  do {                         \
    node->kind = what;         \
    return reader;             \
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
    case kTfLiteBuiltinAveragePool2d:
      READ(NODE_AVERAGE, read_pool(tensors, from, node, why));
    case kTfLiteBuiltinMaxPool2d:
      READ(NODE_MAX, read_pool(tensors, from, node, why));
  }
#undef READ
  REFUSE("it is none of ours");
}
