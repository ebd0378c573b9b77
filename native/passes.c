#include "passes.h"

#include <math.h>

#include "copies.h"

INLINE void narrow_of(void *argument, int first, int last) {
  const Narrowed *pass = argument;
  for (int i = first; i < last; ++i) pass->result[i] = (int16_t)pass->sums[i];
}
PASS(, narrow)

// The values of a lot's rows.
INLINE void bounds(const Pass *pass, int first, int last, int64_t *begin, int64_t *end) {
  *begin = (int64_t)first * ROWS_OF_LOT * pass->channels;
  *end = least((int64_t)last * ROWS_OF_LOT, pass->rows) * pass->channels;
}

INLINE void pass_negative_float_of(void *argument, int first, int last) {
  const Pass *pass = argument;
  const float *restrict x = pass->x;
  float *restrict result = pass->result;
  int64_t begin, end;
  bounds(pass, first, last, &begin, &end);
  for (int64_t i = begin; i < end; ++i) result[i] = x[i] < 0 ? 1.0f : 0.0f;
}
PASS(, pass_negative_float)

INLINE void pass_negative_bfloat16_of(void *argument, int first, int last) {
  const Pass *pass = argument;
  const float *restrict x = pass->x;
  uint16_t *restrict result = pass->result;
  int64_t begin, end;
  bounds(pass, first, last, &begin, &end);
  for (int64_t i = begin; i < end; ++i) result[i] = x[i] < 0 ? 0x3f80 : 0;
}
PASS(, pass_negative_bfloat16)

INLINE float slope_of_sign(float x) {
  const float height = 2 - 2 * fabsf(x);
  return height > 0 ? height : 0;
}

// Of values side by side, whose signs are so many places behind them.
INLINE void sign_gradients(const Pass *pass, int64_t begin, int64_t count, int64_t behind, bool is_bfloat16) {
  const float *restrict x = pass->x + begin, *restrict added = pass->added + begin;
  const float *restrict floats = (const float *)pass->upstream + begin + behind;
  const uint16_t *restrict halves = (const uint16_t *)pass->upstream + begin + behind;
  float *restrict result = (float *)pass->result + begin;
  if (pass->added) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i)
      result[i] = added[i] + slope_of_sign(x[i]) * (is_bfloat16 ? widened(halves[i]) : floats[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i)
      result[i] = slope_of_sign(x[i]) * (is_bfloat16 ? widened(halves[i]) : floats[i]);
  }
}

INLINE void each_row(const Pass *pass, int first, int last, bool is_bfloat16) {
  const int64_t channels = pass->channels, turn = pass->first;
  int64_t begin, end;
  bounds(pass, first, last, &begin, &end);
  if (turn == 0) sign_gradients(pass, begin, end - begin, 0, is_bfloat16);
  for (int64_t row = begin; turn > 0 && row < end; row += channels) {
    sign_gradients(pass, row, turn, channels - turn, is_bfloat16);
    sign_gradients(pass, row + turn, channels - turn, -turn, is_bfloat16);
  }
}

INLINE void pass_sign_gradient_float_of(void *argument, int first, int last) { each_row(argument, first, last, false); }
PASS(, pass_sign_gradient_float)

INLINE void pass_sign_gradient_bfloat16_of(void *argument, int first, int last) {
  each_row(argument, first, last, true);
}
PASS(, pass_sign_gradient_bfloat16)
