#include "passes.h"

#include <math.h>

#include "copies.h"

INLINE float widened(uint16_t half) {
  const uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

INLINE void pass_negative_float_of(void *argument, int first, int last) {
  const Pass *pass = argument;
  const int64_t end = least((int64_t)last * VALUES_OF_LOT, pass->count);
  const float *restrict x = pass->x;
  float *restrict result = pass->result;
  for (int64_t i = (int64_t)first * VALUES_OF_LOT; i < end; ++i) result[i] = x[i] < 0 ? 1.0f : 0.0f;
}
PASS(pass_negative_float)

INLINE void pass_negative_bfloat16_of(void *argument, int first, int last) {
  const Pass *pass = argument;
  const int64_t end = least((int64_t)last * VALUES_OF_LOT, pass->count);
  const float *restrict x = pass->x;
  uint16_t *restrict result = pass->result;
  for (int64_t i = (int64_t)first * VALUES_OF_LOT; i < end; ++i) result[i] = x[i] < 0 ? 0x3f80 : 0;
}
PASS(pass_negative_bfloat16)

INLINE float slope_of_sign(float x) {
  const float height = 2 - 2 * fabsf(x);
  return height > 0 ? height : 0;
}

INLINE void pass_sign_gradient_float_of(void *argument, int first, int last) {
  const Pass *pass = argument;
  const int64_t end = least((int64_t)last * VALUES_OF_LOT, pass->count);
  const float *restrict x = pass->x, *restrict upstream = pass->upstream;
  float *restrict result = pass->result;
  for (int64_t i = (int64_t)first * VALUES_OF_LOT; i < end; ++i) result[i] = slope_of_sign(x[i]) * upstream[i];
}
PASS(pass_sign_gradient_float)

INLINE void pass_sign_gradient_bfloat16_of(void *argument, int first, int last) {
  const Pass *pass = argument;
  const int64_t end = least((int64_t)last * VALUES_OF_LOT, pass->count);
  const float *restrict x = pass->x;
  const uint16_t *restrict upstream = pass->upstream;
  float *restrict result = pass->result;
  for (int64_t i = (int64_t)first * VALUES_OF_LOT; i < end; ++i) result[i] = slope_of_sign(x[i]) * widened(upstream[i]);
}
PASS(pass_sign_gradient_bfloat16)

INLINE void pass_rotate_of(void *argument, int first, int last) {
  const Pass *pass = argument;
  const int64_t end = least((int64_t)last * ROWS_OF_LOT, pass->count), channels = pass->channels, turn = pass->first;
  for (int64_t row = (int64_t)first * ROWS_OF_LOT; row < end; ++row) {
    const float *x = pass->x + row * channels;
    float *result = (float *)pass->result + row * channels;
    memcpy(result, x + turn, (size_t)(channels - turn) * sizeof *x);
    memcpy(result + channels - turn, x, (size_t)turn * sizeof *x);
  }
}
PASS(pass_rotate)
