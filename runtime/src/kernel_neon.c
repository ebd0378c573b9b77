// NEON: CNT counts the bits of each byte; bytes are summed, and widened before one is full.

#include <arm_neon.h>
#include <stdbool.h>
#include <stdint.h>

#define NAME neon
#define LANES 4
#define PIXELS 4
#define VECTORS 4
#define TAIL 4
#define STEPS 31

typedef uint8x16_t Acc;
typedef uint8x16_t Words;

static inline __attribute__((always_inline)) Words load_words(const uint32_t *p) {
  return vreinterpretq_u8_u32(vld1q_u32(p));
}
static inline __attribute__((always_inline)) Words broadcast(uint32_t word) {
  return vreinterpretq_u8_u32(vdupq_n_u32(word));
}
static inline __attribute__((always_inline)) Acc zero_acc(void) { return vdupq_n_u8(0); }
static inline __attribute__((always_inline)) Acc count(Acc acc, Words a, Words b) {
  return vaddq_u8(acc, vcntq_u8(veorq_u8(a, b)));
}
static inline __attribute__((always_inline)) void store_sums(Acc acc, int32_t *p, bool add) {
  uint32x4_t sums = vpaddlq_u16(vpaddlq_u8(acc));
  if (add) sums = vaddq_u32(sums, vreinterpretq_u32_s32(vld1q_s32(p)));
  vst1q_s32(p, vreinterpretq_s32_u32(sums));
}
static inline __attribute__((always_inline)) uint32_t lane_bits(uint32x4_t mask) {
  static const uint32_t bits[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(mask, vld1q_u32(bits)));
}
#define negative_bits(v) lane_bits((uint32x4_t)(v))

#define where_negative(y, a) choose((y) < 0.0f, (a), (y))
#define float_bits(y) negative_bits((Ints)((y) < 0.0f))
#define CONV_PIXELS 4
#define CONV_VECTORS 4
#define multiply_add(a, b, c) ((Floats)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))

#include "kernel.h"
