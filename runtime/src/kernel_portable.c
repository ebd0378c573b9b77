// Plain C, for every processor. The compiler may use what vectors the processor has.

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NAME portable
#define LANES 16
#define PIXELS 2
#define VECTORS 1
#define TAIL 4
#define STEPS 31

typedef uint32_t Words __attribute__((vector_size(64)));
// Of each byte the number of bits.
typedef Words Acc;

static inline __attribute__((always_inline)) Words load_words(const uint32_t *p) {
  Words words;
  memcpy(&words, p, sizeof words);
  return words;
}
static inline __attribute__((always_inline)) Words broadcast(uint32_t word) { return (Words){0} + word; }
static inline __attribute__((always_inline)) Acc zero_acc(void) { return (Words){0}; }
static inline __attribute__((always_inline)) Acc count(Acc acc, Words a, Words b) {
  Words x = a ^ b;
  x -= (x >> 1) & 0x55555555u;
  x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
  return acc + ((x + (x >> 4)) & 0x0f0f0f0fu);
}
static inline __attribute__((always_inline)) void store_sums(Acc acc, int32_t *p, bool add) {
  Words sums = (acc & 0x00ff00ffu) + ((acc >> 8) & 0x00ff00ffu);
  sums = (sums & 0xffffu) + (sums >> 16);
  if (add) sums += load_words((const uint32_t *)p);
  memcpy(p, &sums, sizeof sums);
}
#define negative_bits(v)                                              \
  ({                                                                  \
    const __typeof__(v) all = (v);                                    \
    (uint32_t)(-all[0] | -all[1] << 1 | -all[2] << 2 | -all[3] << 3); \
  })

#define where_negative(y, a) choose((y) < 0.0f, (a), (y))
#define float_bits(y) negative_bits((Ints)((y) < 0.0f))
#define WINDOW_PIXELS 1

#include "kernel.h"
