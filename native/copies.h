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

#endif
