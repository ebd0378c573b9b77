// Copies of a pass for each kind of processor, of which it takes the best.

#ifndef FTBNN_COPIES_H
#define FTBNN_COPIES_H

#include <string.h>

#include "bconv.h"

// The compiler's own choice of copies needs what zig's library lacks.
#if defined(__x86_64__)
#define COPY(pass, kind, features)                                                                   \
  __attribute__((target(features))) static void pass##_##kind(void *argument, int first, int last) { \
    pass##_of(argument, first, last);                                                                \
  }
#define PASS(linkage, pass)                                \
  COPY(pass, avx512, "avx512f,avx512bw,avx512dq,avx512vl") \
  COPY(pass, avx2, "avx2,fma")                             \
  linkage void pass(void *argument, int first, int last) { \
    const char *kind = kernels_choose(NULL)->name;         \
    if (strcmp(kind, "avx512") == 0)                       \
      pass##_avx512(argument, first, last);                \
    else if (strcmp(kind, "avx2") == 0)                    \
      pass##_avx2(argument, first, last);                  \
    else                                                   \
      pass##_of(argument, first, last);                    \
  }
#else
#define PASS(linkage, pass) \
  linkage void pass(void *argument, int first, int last) { pass##_of(argument, first, last); }
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// bfloat16 is the upper half of a float.
INLINE float widened(uint16_t half) {
  const uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// To the nearest, and to an even one between two; what is no number stays none.
INLINE uint16_t halved(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return value == value ? (uint16_t)rounded : 0x7fc0;
}

#endif
