// AVX-512 with VPOPCNTDQ: a lane counts its 32 bits at once.

#include <immintrin.h>
#include <stdint.h>

#define NAME avx512
#define LANES 16
#define PIXELS 8
#define VECTORS 2
#define TAIL 16
#define STEPS 0

typedef __m512i Acc;
typedef __m512i Words;

static inline __attribute__((always_inline)) Words load_words(const uint32_t *p) { return _mm512_loadu_si512(p); }
static inline __attribute__((always_inline)) Words broadcast(uint32_t word) { return _mm512_set1_epi32((int)word); }
static inline __attribute__((always_inline)) Acc zero_acc(void) { return _mm512_setzero_si512(); }
static inline __attribute__((always_inline)) Acc count(Acc acc, Words a, Words b) {
  return _mm512_add_epi32(acc, _mm512_popcnt_epi32(_mm512_xor_si512(a, b)));
}
static inline __attribute__((always_inline)) void store_sums(Acc acc, int32_t *p, _Bool add) {
  if (add) acc = _mm512_add_epi32(acc, _mm512_loadu_si512(p));
  _mm512_storeu_si512(p, acc);
}
#define in_register(acc) ((Ints)(acc))
#define negative_bits(v) ((uint32_t)_mm512_movepi32_mask((__m512i)(v)))

#define float_mask(y) _mm512_cmp_ps_mask((__m512)(y), _mm512_setzero_ps(), _CMP_LT_OQ)
#define where_negative(y, a) ((Floats)_mm512_mask_mov_ps((__m512)(y), float_mask(y), (__m512)(a)))
#define float_bits(y) ((uint32_t)float_mask(y))
#define clamped(sum, low, high) \
  ((Ints)_mm512_max_epi32(_mm512_min_epi32((__m512i)(sum), _mm512_set1_epi32(high)), _mm512_set1_epi32(low)))
#define CONV_PIXELS 8
#define CONV_VECTORS 2
#define VALUES 1
#define STEM_RUNS 4
#define WINDOW_PIXELS 8
#define multiply_add(a, b, c) ((Floats)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))

#include "kernel.h"
