// AVX2: a table look-up counts the bits of half bytes; bytes are summed, and widened before one is full.

#include <immintrin.h>
#include <stdint.h>

#define NAME avx2
#define LANES 8
#define PIXELS 4
#define VECTORS 2
#define TAIL 8
#define STEPS 31

typedef __m256i Acc;
typedef __m256i Words;

static inline __attribute__((always_inline)) Words load_words(const uint32_t *p) {
  return _mm256_loadu_si256((const __m256i *)p);
}
static inline __attribute__((always_inline)) Words broadcast(uint32_t word) { return _mm256_set1_epi32((int)word); }
static inline __attribute__((always_inline)) Acc zero_acc(void) { return _mm256_setzero_si256(); }
static inline __attribute__((always_inline)) Acc count(Acc acc, Words a, Words b) {
  const __m256i bits =
      _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15), x = _mm256_xor_si256(a, b);
  const __m256i lower = _mm256_shuffle_epi8(bits, _mm256_and_si256(x, low));
  const __m256i upper = _mm256_shuffle_epi8(bits, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
  return _mm256_add_epi8(acc, _mm256_add_epi8(lower, upper));
}
static inline __attribute__((always_inline)) void store_sums(Acc acc, int32_t *p, _Bool add) {
  __m256i sums = _mm256_madd_epi16(_mm256_maddubs_epi16(acc, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
  if (add) sums = _mm256_add_epi32(sums, _mm256_loadu_si256((const __m256i *)p));
  _mm256_storeu_si256((__m256i *)p, sums);
}
#define negative_bits(v) ((uint32_t)_mm256_movemask_ps((__m256)(v)))

#define float_mask(y) _mm256_cmp_ps((__m256)(y), _mm256_setzero_ps(), _CMP_LT_OQ)
#define where_negative(y, a) ((Floats)_mm256_blendv_ps((__m256)(y), (__m256)(a), float_mask(y)))
#define float_bits(y) ((uint32_t)_mm256_movemask_ps(float_mask(y)))
#define clamped(sum, low, high) \
  ((Ints)_mm256_max_epi32(_mm256_min_epi32((__m256i)(sum), _mm256_set1_epi32(high)), _mm256_set1_epi32(low)))
#define CONV_PIXELS 4
#define CONV_VECTORS 2
#define VALUES 1
#define WINDOW_PIXELS 4
#define multiply_add(a, b, c) ((Floats)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))

#include "kernel.h"
