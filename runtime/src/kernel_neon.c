// NEON: CNT counts the bits of each byte. Whole tiles are summed by inline assembly, for compilers spill its registers.

#include <arm_neon.h>
#include <stdbool.h>
#include <stdint.h>

#include "bconv.h"

#define NAME neon
#define LANES 4
#define PIXELS 4
#define VECTORS 4
#define TAIL 4
#define STEPS 31

#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef uint8x16_t Acc;
typedef uint8x16_t Words;

ALWAYS_INLINE Words load_words(const uint32_t *p) { return vreinterpretq_u8_u32(vld1q_u32(p)); }
ALWAYS_INLINE Words broadcast(uint32_t word) { return vreinterpretq_u8_u32(vdupq_n_u32(word)); }
ALWAYS_INLINE Acc zero_acc(void) { return vdupq_n_u8(0); }
ALWAYS_INLINE Acc count(Acc acc, Words a, Words b) { return vaddq_u8(acc, vcntq_u8(veorq_u8(a, b))); }
ALWAYS_INLINE void store_sums(Acc acc, int32_t *p, bool add) {
  uint32x4_t sums = vpaddlq_u16(vpaddlq_u8(acc));
  if (add) sums = vaddq_u32(sums, vreinterpretq_u32_s32(vld1q_s32(p)));
  vst1q_s32(p, vreinterpretq_s32_u32(sums));
}
ALWAYS_INLINE uint32_t lane_bits(uint32x4_t mask) {
  static const uint32_t bits[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(mask, vld1q_u32(bits)));
}
#define negative_bits(v) lane_bits((uint32x4_t)(v))

#define where_negative(y, a) choose((y) < 0.0f, (a), (y))
#define float_bits(y) negative_bits((Ints)((y) < 0.0f))
#define CONV_PIXELS 4
#define CONV_VECTORS 4
#define VALUES 4
#define STEM_RUNS 4
#define WINDOW_PIXELS 2
#define larger(a, b) ((Floats)vmaxq_f32((float32x4_t)(a), (float32x4_t)(b)))
#define smaller(a, b) ((Floats)vminq_f32((float32x4_t)(a), (float32x4_t)(b)))
#define multiply_add(a, b, c) ((Floats)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))

// A lane of 16 bits counts two bytes of each word: it is full after this many.
enum { MOST_WORDS = 65535 / 16 };

// clang-format off
// A pixel by 16 filters by two words of channels: v0 to v7 hold the weights, `a` to `d` the sums.
#define TWO_WORDS(pixel, a, b, c, d)                                                                              \
  "ld2r {v8.4s, v9.4s}, [%[" pixel "]], #8\n"                                                                     \
  "eor v10.16b, v8.16b, v0.16b\n eor v11.16b, v8.16b, v1.16b\n"                                                   \
  "eor v12.16b, v8.16b, v2.16b\n eor v8.16b, v8.16b, v3.16b\n"                                                    \
  "eor v13.16b, v9.16b, v4.16b\n eor v14.16b, v9.16b, v5.16b\n"                                                   \
  "eor v15.16b, v9.16b, v6.16b\n eor v9.16b, v9.16b, v7.16b\n"                                                    \
  "cnt v10.16b, v10.16b\n cnt v11.16b, v11.16b\n cnt v12.16b, v12.16b\n cnt v8.16b, v8.16b\n"                     \
  "cnt v13.16b, v13.16b\n cnt v14.16b, v14.16b\n cnt v15.16b, v15.16b\n cnt v9.16b, v9.16b\n"                     \
  "uadalp " a ".8h, v10.16b\n uadalp " b ".8h, v11.16b\n uadalp " c ".8h, v12.16b\n uadalp " d ".8h, v8.16b\n"    \
  "uadalp " a ".8h, v13.16b\n uadalp " b ".8h, v14.16b\n uadalp " c ".8h, v15.16b\n uadalp " d ".8h, v9.16b\n"

// By one word: v0 to v3 hold the weights.
#define ONE_WORD(pixel, a, b, c, d)                                                                               \
  "ld1r {v8.4s}, [%[" pixel "]], #4\n"                                                                            \
  "eor v10.16b, v8.16b, v0.16b\n eor v11.16b, v8.16b, v1.16b\n"                                                   \
  "eor v12.16b, v8.16b, v2.16b\n eor v8.16b, v8.16b, v3.16b\n"                                                    \
  "cnt v10.16b, v10.16b\n cnt v11.16b, v11.16b\n cnt v12.16b, v12.16b\n cnt v8.16b, v8.16b\n"                     \
  "uadalp " a ".8h, v10.16b\n uadalp " b ".8h, v11.16b\n uadalp " c ".8h, v12.16b\n uadalp " d ".8h, v8.16b\n"

#define FOUR_PIXELS(WORDS)                                                                \
  WORDS("p0", "v16", "v17", "v18", "v19") WORDS("p1", "v20", "v21", "v22", "v23")         \
  WORDS("p2", "v24", "v25", "v26", "v27") WORDS("p3", "v28", "v29", "v30", "v31")

#define EACH_SUM(line) ".irp n,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n" line "\n.endr\n"

#define sum_whole(conv, input, offset, weights, sums) \
  ((conv)->runs * (conv)->run_words <= MOST_WORDS && (sum_4x16(conv, input, offset, weights, sums), true))
// One copy: the call is little beside a tile.
static __attribute__((noinline)) void sum_4x16(const BConv *conv, const uint32_t *input, const int32_t *offset, const uint32_t *weights,
                            int32_t *sums) {
  const uint32_t *p0, *p1, *p2, *p3;
  const int32_t *run = conv->run_offset, *last = run + conv->runs;
  int64_t at, pairs;
  __asm__ volatile(
      EACH_SUM("movi v\\n\\().16b, #0")
      "1:\n"
      "ldrsw %[at], [%[run]], #4\n"
      "lsr %[pairs], %[words], #1\n"
      "add %[p0], %[input0], %[at], lsl #2\n"
      "add %[p1], %[input1], %[at], lsl #2\n"
      "add %[p2], %[input2], %[at], lsl #2\n"
      "add %[p3], %[input3], %[at], lsl #2\n"
      "tbz %[words], #0, 2f\n"
      "ldp q2, q3, [%[weights], #32]\n ldp q0, q1, [%[weights]], #64\n"
      FOUR_PIXELS(ONE_WORD)
      "cbz %[pairs], 3f\n"
      "2:\n"
      "ldp q2, q3, [%[weights], #32]\n ldp q4, q5, [%[weights], #64]\n"
      "ldp q6, q7, [%[weights], #96]\n ldp q0, q1, [%[weights]], #128\n"
      "subs %[pairs], %[pairs], #1\n"
      FOUR_PIXELS(TWO_WORDS)
      "b.ne 2b\n"
      "3:\n"
      "cmp %[run], %[last]\n"
      "b.ne 1b\n"
      EACH_SUM("uaddlp v\\n\\().4s, v\\n\\().8h")
      "stp q16, q17, [%[sums]]\n stp q18, q19, [%[sums], #32]\n"
      "stp q20, q21, [%[sums], #64]\n stp q22, q23, [%[sums], #96]\n"
      "stp q24, q25, [%[sums], #128]\n stp q26, q27, [%[sums], #160]\n"
      "stp q28, q29, [%[sums], #192]\n stp q30, q31, [%[sums], #224]\n"
      : [p0] "=&r"(p0), [p1] "=&r"(p1), [p2] "=&r"(p2), [p3] "=&r"(p3), [at] "=&r"(at), [pairs] "=&r"(pairs),
        [run] "+&r"(run), [weights] "+&r"(weights)
      : [input0] "r"(input + offset[0]), [input1] "r"(input + offset[1]), [input2] "r"(input + offset[2]),
        [input3] "r"(input + offset[3]), [words] "r"((int64_t)conv->run_words), [last] "r"(last), [sums] "r"(sums)
      : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21",
        "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31", "cc", "memory");
}
// clang-format on

// Of 16 floats: bit i of the lanes' sum tells whether number i is below 0.
ALWAYS_INLINE uint32x4_t signs_of(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d) {
  static const uint32_t places[4] = {0x1111, 0x2222, 0x4444, 0x8888};
  uint32x4_t bits = vsliq_n_u32(vcltzq_f32(a), vcltzq_f32(b), 4);
  bits = vsliq_n_u32(bits, vcltzq_f32(c), 8);
  bits = vsliq_n_u32(bits, vcltzq_f32(d), 12);
  return vandq_u32(bits, vld1q_u32(places));
}

#define block_bits(p) block_of_signs(p)
ALWAYS_INLINE uint32_t block_of_signs(const float *p) {
  return vaddvq_u32(signs_of(vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)));
}

// What follows a convolution in trunks. Twice the multiplier stands in place of twice the sum: that rounds nothing.
typedef struct {
  float32x4_t multiplier[4], bias[4], slope[4];
} Following;

// Scale, bias, PRELU or a limit of RELU, ADD and signs of 4 pixels by 16 filters. `slopes`, `limits` and `writes` are
// constants once inlined.
ALWAYS_INLINE void finish_4x16(const Following *following, uint32x4_t limit, const int32_t *sums, const float *added,
                               int64_t added_pitch, float *output, int64_t output_pitch, uint16_t *signs,
                               const int32_t *signs_offset, bool relu, bool slopes, bool limits, bool writes) {
  uint32x4_t negative[4];
#pragma GCC unroll 4
  for (int p = 0; p < 4; ++p, sums += 16, output += output_pitch) {
    float32x4_t y[4];
#pragma GCC unroll 4
    for (int part = 0; part < 4; ++part) {
      uint32x4_t sum = vreinterpretq_u32_s32(vld1q_s32(sums + 4 * part));
      if (limits) sum = vminq_u32(sum, limit);
      y[part] = vaddq_f32(vmulq_f32(vcvtq_f32_u32(sum), following->multiplier[part]), following->bias[part]);
      if (slopes) y[part] = vbslq_f32(vcltzq_f32(y[part]), vmulq_f32(y[part], following->slope[part]), y[part]);
    }
    if (added) {
#pragma GCC unroll 4
      for (int part = 0; part < 4; ++part) y[part] = vaddq_f32(y[part], vld1q_f32(added + 4 * part));
      added += added_pitch;
    }
    if (!slopes && relu) {
#pragma GCC unroll 4
      for (int part = 0; part < 4; ++part) y[part] = vmaxq_f32(y[part], vdupq_n_f32(0));
    }
    if (writes) {
#pragma GCC unroll 4
      for (int part = 0; part < 4; ++part) vst1q_f32(output + 4 * part, y[part]);
    }
    negative[p] = signs_of(y[0], y[1], y[2], y[3]);
  }
  if (!signs) return;
  const uint16x8_t bits =
      vreinterpretq_u16_u32(vpaddq_u32(vpaddq_u32(negative[0], negative[1]), vpaddq_u32(negative[2], negative[3])));
  vst1q_lane_u16(signs + 2 * (int64_t)signs_offset[0], bits, 0);
  vst1q_lane_u16(signs + 2 * (int64_t)signs_offset[1], bits, 2);
  vst1q_lane_u16(signs + 2 * (int64_t)signs_offset[2], bits, 4);
  vst1q_lane_u16(signs + 2 * (int64_t)signs_offset[3], bits, 6);
}

// Zero padding: what it changes lies in the sums afterwards.
ALWAYS_INLINE void add_borders(const BConv *conv, int32_t *sums, int pixel, int filter) {
  for (int p = 0; p < 4; ++p) {
    const int class = conv->border_class[pixel + p];
    if (class == conv->inner_class) continue;
    const int32_t *border = conv->border_sum + (size_t)class * round_up(conv->filters, BLOCK) + filter;
#pragma GCC unroll 4
    for (int part = 0; part < 16; part += 4)
      vst1q_s32(sums + 16 * p + part, vsraq_n_s32(vld1q_s32(sums + 16 * p + part), vld1q_s32(border + part), 1));
  }
}

// The tiles of 16 filters, from pixel `first` on, as long as there are 4 pixels. Gives the next pixel.
ALWAYS_INLINE int tiles_4x16(const BConv *conv, const BConvIO *io, int first, int last, int filter, bool slopes,
                             bool limits, bool writes) {
  const BConv c = *conv;
  const uint32_t *weights = c.weights + (size_t)filter * c.runs * c.run_words, *input = io->input;
  const uint32x4_t limit = vdupq_n_u32((uint32_t)c.clamp_max / 2);
  const int64_t added_pitch = io->added_pitch, output_pitch = io->output_pitch;
  const float *added = io->added ? io->added + first * added_pitch + filter : NULL;
  float *output = writes ? io->output + first * output_pitch + filter : NULL;
  uint16_t *signs = io->signs ? (uint16_t *)io->signs + (io->signs_filter + filter) / BLOCK : NULL;
  const int32_t *signs_offset = signs ? io->signs_offset + first : NULL;
  Following following;
  for (int part = 0; part < 4; ++part) {
    following.multiplier[part] = 2 * vld1q_f32(c.multiplier + filter + 4 * part);
    following.bias[part] = vld1q_f32(c.bias + filter + 4 * part);
    if (slopes) following.slope[part] = vld1q_f32(c.slope + filter + 4 * part);
  }
  int pixel = first;
  for (; pixel + 4 <= last; pixel += 4) {
    int32_t sums[64];
    sum_4x16(&c, input, c.input_offset + pixel, weights, sums);
    if (c.border_class) add_borders(&c, sums, pixel, filter);
    finish_4x16(&following, limit, sums, added, added_pitch, output, output_pitch, signs, signs_offset, c.relu, slopes,
                limits, writes);
    if (added) added += 4 * added_pitch;
    if (writes) output += 4 * output_pitch;
    if (signs) signs_offset += 4;
  }
  return pixel;
}

// The same where what follows is as usual; `first` where not.
#define usual_tiles(conv, io, first, last, filter) usual_4x16(conv, io, first, last, filter)
static int usual_4x16(const BConv *conv, const BConvIO *io, int first, int last, int filter) {
  if (conv->kind != OUT_FLOAT || conv->runs * conv->run_words > MOST_WORDS) return first;
  if (conv->slope && (conv->is_clamped || conv->relu)) return first;
  // What is clamped, and what a border adds, is twice a sum: half of it has to be whole.
  if (conv->is_clamped && (conv->clamp_min > 0 || conv->clamp_max % 2)) return first;
  if (conv->border_class && conv->has_odd_borders) return first;
#define TILES(slopes, limits)                                                   \
  (io->output ? tiles_4x16(conv, io, first, last, filter, slopes, limits, true) \
              : tiles_4x16(conv, io, first, last, filter, slopes, limits, false))
  return conv->slope ? TILES(true, false) : conv->is_clamped ? TILES(false, true) : TILES(false, false);
#undef TILES
}

#include "kernel.h"
