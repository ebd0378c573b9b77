// Which kernels this processor runs.

#include <string.h>

#include "bconv.h"

#if defined(__x86_64__)
#include <cpuid.h>

// Whether the system saves these registers, as bits of XCR0.
static bool saves(unsigned wanted) {
  unsigned a, b, c, d, low, high;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return false;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & wanted) == wanted;
}

static bool has_avx2(void) {
  unsigned a, b, c, d;
  if (!saves(6) || !__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_FMA)) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_AVX2;
}

static bool has_avx512(void) {
  unsigned a, b, c, d;
  const unsigned wanted = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
  return saves(0xe6) && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & wanted) == wanted && c & bit_AVX512VPOPCNTDQ;
}

enum { IS_ASKED = 1, AVX2 = 2, AVX512 = 4 };

// What the processor has. In a virtual machine each question takes microseconds: it is asked once.
static int features(void) {
  static _Atomic int known;
  int found = known;
  if (!found) known = found = IS_ASKED | (has_avx2() ? AVX2 : 0) | (has_avx512() ? AVX512 : 0);
  return found;
}
#endif

const Kernels *kernels_choose(const char *name) {
  const Kernels *known[4];
  int count = 0;
#if defined(__x86_64__)
  if (features() & AVX512) known[count++] = &kernels_avx512;
  if (features() & AVX2) known[count++] = &kernels_avx2;
#elif defined(__aarch64__)
  known[count++] = &kernels_neon;
#endif
  known[count++] = &kernels_portable;
  for (int i = 0; i < count; ++i) {
    if (!name || strcmp(known[i]->name, name) == 0) return known[i];
  }
  return NULL;
}
