#include "tensors.h"

#include <stdlib.h>
#include <string.h>

bool tensors_create(Tensors *tensors, TfLiteContext *context) {
  const size_t count = context->tensors_size;
  *tensors = (Tensors){context, count, malloc((count + 1) * sizeof(int))};
  for (size_t i = 0; tensors->origin && i < count; ++i) tensors->origin[i] = -1;
  return tensors->origin != NULL;
}

bool tensors_copy(Tensors *tensors, const Tensors *from) {
  if (!tensors_create(tensors, from->context)) return false;
  memcpy(tensors->origin, from->origin, (from->count < tensors->count ? from->count : tensors->count) * sizeof(int));
  return true;
}

void tensors_free(Tensors *tensors) { free(tensors->origin); }

const TfLiteTensor *tensor_at(const Tensors *tensors, int index) {
  return index >= 0 && (size_t)index < tensors->count ? &tensors->context->tensors[index] : NULL;
}

bool tensor_is_known(const Tensors *tensors, int index) {
  return tensors->origin[index] >= 0 || tensors->context->tensors[index].allocation_type == kTfLiteMmapRo;
}

bool tensor_shape(const Tensors *tensors, int index, Shape *shape) {
  const TfLiteTensor *t = tensor_at(tensors, index);
  if (!t || !t->dims || (t->dims->size != 4 && t->dims->size != 2)) return false;
  const int *sides = t->dims->data;
  const int d[] = {sides[0], t->dims->size == 4 ? sides[1] : 1, t->dims->size == 4 ? sides[2] : 1,
                   sides[t->dims->size - 1]};
  if (d[0] < 1 || d[1] < 1 || d[2] < 1 || d[3] < 1) return false;
  if (d[0] > MAX_SIDE || d[1] > MAX_SIDE || d[2] > MAX_SIDE || d[3] > MAX_CHANNELS) return false;
  *shape = (Shape){d[1], d[2], d[3]};
  return (int64_t)d[1] * d[2] * d[3] * (int64_t)sizeof(float) <= MAX_BYTES / d[0];
}

static size_t size_of(TfLiteType type) { return type == kTfLiteInt8 ? 1 : type == kTfLiteFloat16 ? 2 : 4; }

static bool is_stored(const TfLiteTensor *t, int64_t count) {
  return t->allocation_type == kTfLiteMmapRo && t->data && t->bytes == (size_t)count * size_of(t->type);
}

bool tensor_is_constant(const Tensors *tensors, int index, TfLiteType type, int64_t count) {
  const TfLiteTensor *t = tensor_at(tensors, index);
  if (!t || t->type != type) return false;
  return is_stored(tensors->origin[index] >= 0 ? &tensors->context->tensors[tensors->origin[index]] : t, count);
}

// Scales along a dimension, or NULL where a tensor has one scale.
static const TfLiteAffineQuantization *scales_of(const TfLiteTensor *t) {
  const TfLiteAffineQuantization *affine = t->quantization.params;
  const bool several =
      t->quantization.type == kTfLiteAffineQuantization && affine && affine->scale && affine->scale->size > 1;
  return several ? affine : NULL;
}

// Whether a tensor can be told element by element.
static bool is_readable(const TfLiteTensor *t) {
  if ((t->type != kTfLiteInt8 && t->type != kTfLiteFloat16) || !t->dims) return false;
  int64_t count = 1;
  for (int i = 0; i < t->dims->size; ++i) {
    const int side = t->dims->data[i];
    if (side < 1 || side > MAX_BYTES / count) return false;
    count *= side;
  }
  if (!is_stored(t, count)) return false;
  const TfLiteAffineQuantization *affine = t->type == kTfLiteInt8 ? scales_of(t) : NULL;
  if (!affine) return true;
  const int axis = affine->quantized_dimension;
  return axis >= 0 && axis < t->dims->size && affine->scale->size == t->dims->data[axis] && affine->zero_point &&
         affine->zero_point->size == affine->scale->size;
}

void tensors_learn(Tensors *tensors, const TfLiteNode *node, const TfLiteRegistration *registration) {
  if (registration->builtin_code != kTfLiteBuiltinDequantize || node->inputs->size != 1 || node->outputs->size != 1)
    return;
  const int from = node->inputs->data[0], to = node->outputs->data[0];
  const TfLiteTensor *in = tensor_at(tensors, from), *out = tensor_at(tensors, to);
  if (!in || !out || tensors->origin[to] >= 0 || tensor_is_known(tensors, to) || out->type != kTfLiteFloat32 ||
      !out->dims || !is_readable(in) || out->dims->size != in->dims->size ||
      memcmp(out->dims->data, in->dims->data, (size_t)in->dims->size * sizeof(int)) != 0)
    return;
  tensors->origin[to] = from;
}

int64_t tensor_made(const Tensors *tensors, int index) {
  if (tensors->origin[index] < 0) return -1;
  const TfLiteTensor *t = &tensors->context->tensors[tensors->origin[index]];
  return (int64_t)(t->bytes / size_of(t->type));
}

const int8_t *tensor_bytes(const Tensors *tensors, int index, int filters, int channels) {
  if (!tensor_at(tensors, index) || tensors->origin[index] < 0) return NULL;
  const TfLiteTensor *t = &tensors->context->tensors[tensors->origin[index]];
  if (t->type != kTfLiteInt8 || t->dims->size != 2 || t->dims->data[0] != filters || t->dims->data[1] != channels)
    return NULL;
  const TfLiteAffineQuantization *affine = scales_of(t);
  if (affine && affine->quantized_dimension != 0) return NULL;
  for (int i = 0; i < (affine ? filters : 1); ++i) {
    if (affine ? affine->zero_point->data[i] : t->params.zero_point) return NULL;
  }
  return t->data;
}

float tensor_scale(const Tensors *tensors, int index, int filter) {
  const TfLiteTensor *t = &tensors->context->tensors[tensors->origin[index]];
  const TfLiteAffineQuantization *affine = scales_of(t);
  return affine ? affine->scale->data[filter] : t->params.scale;
}

static float from_half(uint16_t half) {
  // The exponent moves from a bias of 15 to one of 127.
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
  uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13;
  if (exponent == 31) bits |= 0x7f800000;
  float value;
  memcpy(&value, &bits, sizeof value);
  // Subnormal: no leading one.
  if (exponent == 0) value = (float)fraction * 0x1p-24f * (sign ? -1.0f : 1.0f);
  return value;
}

void tensor_floats(const Tensors *tensors, int index, int64_t first, int64_t count, float *to) {
  const int origin = tensors->origin[index];
  const TfLiteTensor *t = &tensors->context->tensors[origin >= 0 ? origin : index];
  if (t->type == kTfLiteFloat32) {
    memcpy(to, (const float *)t->data + first, (size_t)count * sizeof *to);
    return;
  }
  if (t->type == kTfLiteFloat16) {
    for (int64_t i = 0; i < count; ++i) to[i] = from_half(((const uint16_t *)t->data)[first + i]);
    return;
  }
  const TfLiteAffineQuantization *affine = scales_of(t);
  int64_t inner = 1;
  for (int i = t->dims->size - 1; affine && i > affine->quantized_dimension; --i) inner *= t->dims->data[i];
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = affine ? (first + i) / inner % affine->scale->size : 0;
    const float scale = affine ? affine->scale->data[at] : t->params.scale;
    const int zero_point = affine ? affine->zero_point->data[at] : t->params.zero_point;
    to[i] = scale * (float)((int64_t)((const int8_t *)t->data)[first + i] - zero_point);
  }
}
