#include "options.h"
#include "reading.h"

// Whether an int8 tensor's scale and zero point are such as converters write.
static bool is_scaled(const TfLiteTensor *t) {
  return t->params.scale > 0 && t->params.zero_point >= -128 && t->params.zero_point <= 127;
}

bool read_bconv(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
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
  if (!is_packed(tensors, in[0]) || !tensor_shape(tensors, in[0], &input))
    REFUSE("its input is no map of packed signs");
  if (!output || tensor_is_known(tensors, out) || !tensor_shape(tensors, out, &map)) REFUSE("its output is no map");
  if (!filter || !filter->dims || filter->dims->size != 4) REFUSE("its filters have not four dimensions");
  const int *f = filter->dims->data;
  for (int i = 0; i < 4; ++i) {
    if (f[i] < 1 || f[i] > (i == 1 || i == 2 ? MAX_KERNEL : MAX_CHANNELS))
      REFUSE("its filters have a size out of range");
  }
  const int filters = f[0];
  w->kernel_h = f[1], w->kernel_w = f[2];
  const int64_t words = (int64_t)filters * f[1] * f[2] * f[3];
  if (words > MAX_BYTES / 64 || !tensor_is_constant(tensors, in[1], kTfLiteInt32, words))
    REFUSE("its filters are no constant");
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
  if (output->type != kTfLiteFloat32 && output->type != kTfLiteInt8)
    REFUSE("its output is neither float, int8 nor packed");
  if (output->type == kTfLiteInt8 && !is_scaled(output))
    REFUSE("its int8 output has no scale, or a zero point out of range");
  if (map.c != filters) REFUSE("its output does not fit its filters");
  for (int i = 2; i <= 3; ++i) {
    if (!tensor_is_constant(tensors, in[i], kTfLiteFloat32, filters))
      REFUSE("its multipliers or biases do not fit its filters");
  }
  return true;
}

bool read_bmaxpool(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
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

bool read_packing(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why) {
  if (from->inputs->size != 1 || from->outputs->size != 1) REFUSE("it needs one input and one output");
  const int packs = node->kind == NODE_QUANTIZE;
  const int words = packs ? from->outputs->data[0] : from->inputs->data[0];
  const int values = packs ? from->inputs->data[0] : from->outputs->data[0];
  Shape packed, plain;
  if (!is_packed(tensors, words) || !tensor_shape(tensors, words, &packed) || !tensor_shape(tensors, values, &plain) ||
      !same_map(packed, plain) || packed.c != words_of(plain.c))
    REFUSE("it needs a map, and the same one packed");
  const TfLiteTensor *t = tensor_at(tensors, values);
  if (tensor_is_known(tensors, values) ||
      (t->type != kTfLiteFloat32 && t->type != kTfLiteInt8 && t->type != kTfLiteBool))
    REFUSE("its values are neither float, int8 nor bool");
  if (!packs && t->type == kTfLiteInt8 && !is_scaled(t))
    REFUSE("its int8 output has no scale, or a zero point out of range");
  return true;
}
