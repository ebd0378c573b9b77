#include "passes.h"

#include <math.h>
#include <string.h>

#include "bconv.h"

// A pass has a copy for each kind of processor. The compiler's own choice of copies needs what zig's library lacks.
#if defined(__x86_64__)
#define COPY(pass, kind, features)                                                                   \
  __attribute__((target(features))) static void pass##_##kind(void *argument, int first, int last) { \
    pass##_of(argument, first, last);                                                                \
  }
#define PASS(pass)                                         \
  COPY(pass, avx512, "avx512f,avx512bw,avx512dq,avx512vl") \
  COPY(pass, avx2, "avx2,fma")                             \
  void pass(void *argument, int first, int last) {         \
    const char *kind = kernels_choose(NULL)->name;         \
    if (strcmp(kind, "avx512") == 0)                       \
      pass##_avx512(argument, first, last);                \
    else if (strcmp(kind, "avx2") == 0)                    \
      pass##_avx2(argument, first, last);                  \
    else                                                   \
      pass##_of(argument, first, last);                    \
  }
#else
#define PASS(pass) \
  void pass(void *argument, int first, int last) { pass##_of(argument, first, last); }
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

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

INLINE void pass_slopes_of(void *argument, int first, int last) {
  const Pass *pass = argument;
  const int64_t end = least((int64_t)last * ROWS_OF_LOT, pass->count), channels = pass->channels;
  const float *restrict p = pass->p, *restrict n = pass->n;
  for (int64_t row = (int64_t)first * ROWS_OF_LOT; row < end; ++row) {
    const float *restrict x = pass->x + row * channels;
    float *restrict result = (float *)pass->result + row * channels;
    for (int64_t i = 0; i < channels; ++i) {
      const float value = x[i], positive = p[i], negative = n[i];
      result[i] = value * (value > 0 ? positive : negative);
    }
  }
}
PASS(pass_slopes)

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
enum { LANES = 16, VECTORS = 2, CHANNELS = VECTORS * LANES };

// Of `present` channels from `from` on. Their sums stay in registers.
INLINE void slopes_gradient(const Pass *pass, int64_t lot, int64_t from, int64_t present) {
  const int64_t channels = pass->channels, end = least((lot + 1) * ROWS_OF_LOT, pass->count);
  const size_t bytes = (size_t)present * sizeof(float);
  Floats p[VECTORS] = {0}, n[VECTORS] = {0}, above[VECTORS] = {0}, below[VECTORS] = {0};
  memcpy(p, pass->p + from, bytes), memcpy(n, pass->n + from, bytes);
  for (int64_t row = lot * ROWS_OF_LOT; row < end; ++row) {
    const int64_t place = row * channels + from;
    Floats x[VECTORS] = {0}, upstream[VECTORS] = {0}, result[VECTORS];
    memcpy(x, pass->x + place, bytes), memcpy(upstream, (const float *)pass->upstream + place, bytes);
#pragma GCC unroll 2
    for (int i = 0; i < VECTORS; ++i) {
      const Ints is_above = x[i] > 0, both = (Ints)(x[i] * upstream[i]);
      result[i] = upstream[i] * (Floats)((is_above & (Ints)p[i]) | (~is_above & (Ints)n[i]));
      above[i] += (Floats)(is_above & both);
      below[i] += (Floats)(~is_above & both);
    }
    memcpy((float *)pass->result + place, result, bytes);
  }
  float sums[2][CHANNELS];
  memcpy(sums[0], above, sizeof above), memcpy(sums[1], below, sizeof below);
  double *to = pass->sums + lot * 2 * channels + from;
  for (int64_t i = 0; i < present; ++i) to[i] = sums[0][i], to[channels + i] = sums[1][i];
}

INLINE void pass_slopes_gradient_of(void *argument, int first, int last) {
  const Pass *pass = argument;
  for (int64_t lot = first; lot < last; ++lot) {
    int64_t from = 0;
    for (; from + CHANNELS <= pass->channels; from += CHANNELS) slopes_gradient(pass, lot, from, CHANNELS);
    if (from < pass->channels) slopes_gradient(pass, lot, from, pass->channels - from);
  }
}
PASS(pass_slopes_gradient)

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
