// The template of a micro-kernel. A file for an instruction set defines the macros below, and includes this file.
// clang-format off
//
//   NAME           of the kernels, and the word that the option `isa` takes
//   LANES          filters in a vector
//   PIXELS, VECTORS  of a tile: pixels, and vectors of filters; VECTORS * LANES is BLOCK or twice that
//   Acc            the type that counts, one 32-bit lane a filter
//   Words          a vector of LANES words
//   load_words(p), broadcast(word), zero_acc()
//   count(acc, a, b)      acc plus the number of bits in which a and b differ
//   STEPS          how often `count` may be called before a lane is full; 0 for always
//   store_sums(acc, p, add)  writes the LANES sums, or adds them
//   TAIL           floats in a vector
//   WINDOW_PIXELS  of a tile of a float window, which has BLOCK channels
//   where_negative(y, a)  lane by lane a where y < 0, else y; -0.0 is not below 0
//   float_bits(y)         bit i tells whether lane i of y is below 0
//   in_register(acc)      the sums as TAIL int32_t, where Acc is that; else not defined
//   negative_bits(v)      bit i tells whether lane i of a vector of TAIL int32_t is negative
// It may define what float convolutions take; else they are left to the interpreter:
//   multiply_add(a, b, c)  a * b + c of float vectors, rounded once
//   CONV_PIXELS, CONV_VECTORS  of a tile; CONV_VECTORS * TAIL is BLOCK or a multiple
//   VALUES         floats of a pixel that are read together
//   STEM_RUNS      of a tile of the stem's kernel, which has 7 vectors of sums for each; a divisor of TAIL
// It may define faster ways:
//   clamped(sum, low, high)                        a vector of TAIL int32_t between two numbers
//   sum_whole(conv, input, offset, weights, sums)  what `sum_tile` does; whether it has
//   block_bits(p)                                  bit i tells whether p[i] is below 0, of BLOCK floats
//   usual_tiles(conv, io, first, last, filter)     tiles of TILE_FILTERS filters, and signs of whole words; gives the next pixel
// clang-format on

#include <string.h>

#include "bconv.h"
#include "stem.h"

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)
#define INLINE static inline __attribute__((always_inline))

typedef float Floats __attribute__((vector_size(4 * TAIL)));
typedef int32_t Ints __attribute__((vector_size(4 * TAIL)));

enum { TILE_FILTERS = VECTORS * LANES };

INLINE Floats load_floats(const float *p) {
  Floats v;
  memcpy(&v, p, sizeof v);
  return v;
}

INLINE Ints load_ints(const int32_t *p) {
  Ints v;
  memcpy(&v, p, sizeof v);
  return v;
}

// Minus 0 changes nothing, not even -0.0, so compilers leave it out.
INLINE Floats splat(float value) { return value - (Floats){0}; }

INLINE Floats choose(Ints mask, Floats yes, Floats no) { return (Floats)((mask & (Ints)yes) | (~mask & (Ints)no)); }

#include "finish.h"

// Counts the bits of a tile in `acc`; what does not fit there in `sums`, [pixel][filter], which tells whether any did
// not. `pixels` and `vectors` are constants once inlined.
INLINE bool sum_tile(const BConv *conv, const uint32_t *input, const int32_t *offset, const uint32_t *weights,
                     int pixels, int vectors, Acc (*acc)[VECTORS], int32_t *sums) {
  const size_t block_words = (size_t)conv->runs * conv->run_words * BLOCK;
  int steps = 0;
  bool is_stored = false;
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) acc[p][v] = zero_acc();
  }
  ptrdiff_t place[PIXELS];
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) place[p] = offset[p];
  for (int run = 0; run < conv->runs; ++run) {
    const uint32_t *at = input + conv->run_offset[run];
    for (const uint32_t *end = at + conv->run_words; at < end; ++at) {
      Words w[VECTORS];
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v)
        w[v] = load_words(weights + v * LANES / BLOCK * block_words + v * LANES % BLOCK);
#pragma GCC unroll 16
      for (int p = 0; p < pixels; ++p) {
        const Words x = broadcast(at[place[p]]);
#pragma GCC unroll 16
        for (int v = 0; v < vectors; ++v) acc[p][v] = count(acc[p][v], x, w[v]);
      }
      weights += BLOCK;
      if (STEPS && ++steps == STEPS) {
#pragma GCC unroll 16
        for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 16
          for (int v = 0; v < vectors; ++v) {
            store_sums(acc[p][v], sums + p * TILE_FILTERS + v * LANES, is_stored);
            acc[p][v] = zero_acc();
          }
        }
        is_stored = true;
        steps = 0;
      }
    }
  }
  return is_stored;
}

INLINE void tile(const BConv *conv, const BConvIO *io, int pixel, int pixels, int filter, int vectors) {
  int32_t sums[PIXELS * TILE_FILTERS] __attribute__((aligned(64)));
  Acc acc[PIXELS][VECTORS];
  const uint32_t *weights = conv->weights + (size_t)filter * conv->runs * conv->run_words;
#ifdef sum_whole
  const bool is_whole = pixels == PIXELS && vectors == VECTORS;
  if (is_whole && sum_whole(conv, io->input, conv->input_offset + pixel, weights, sums)) {
    finish_tile(conv, io, sums, pixel, pixels, filter, vectors * LANES);
    return;
  }
#endif
  const bool is_stored = sum_tile(conv, io->input, conv->input_offset + pixel, weights, pixels, vectors, acc, sums);
#ifdef in_register
  // The usual tile needs no detour through memory.
  if (pixels == PIXELS && vectors == VECTORS && is_usual(conv, io, filter, TILE_FILTERS)) {
    // Before the flags are told apart: one copy is enough.
    Ints sum[PIXELS][VECTORS];
#pragma GCC unroll 16
    for (int p = 0; p < PIXELS; ++p) {
#pragma GCC unroll 16
      for (int v = 0; v < VECTORS; ++v) sum[p][v] = twice(conv, in_register(acc[p][v]), pixel + p, filter + v * LANES);
    }
    switch (flags_of(conv, io)) {
#define CASE(n)                                                                                               \
  case n:                                                                                                     \
    _Pragma("GCC unroll 4") for (int v = 0; v < VECTORS; ++v) {                                               \
      const Finish f = finish_from(conv, io, pixel, filter + v * LANES, FLAGS(n));                            \
      _Pragma("GCC unroll 8") for (int p = 0; p < PIXELS; ++p) { finish_pixel(&f, p, &sum[p][v], FLAGS(n)); } \
    }                                                                                                         \
    return;
      EACH_FLAGS(CASE)
#undef CASE
    }
  }
#endif
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) store_sums(acc[p][v], sums + p * TILE_FILTERS + v * LANES, is_stored);
  }
  finish_tile(conv, io, sums, pixel, pixels, filter, vectors * LANES);
}

// A tile of fewer pixels: the number has to be a constant.
static void rest(const BConv *conv, const BConvIO *io, int pixel, int pixels, int filter, int vectors) {
  const bool is_whole = vectors == VECTORS;
  switch (pixels) {
#define CASE(n)                                        \
  case n:                                              \
    if (n >= PIXELS) break;                            \
    if (is_whole)                                      \
      tile(conv, io, pixel, n, filter, VECTORS);       \
    else                                               \
      tile(conv, io, pixel, n, filter, BLOCK / LANES); \
    break;
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
#undef CASE
  }
}

static void bconv(const BConv *conv, const BConvIO *io, int first, int last) {
  const int all = round_up(conv->filters, BLOCK);
  for (int filter = 0; filter < all; filter += TILE_FILTERS) {
    const bool is_whole = filter + TILE_FILTERS <= all;
    int pixel = first;
#ifdef usual_tiles
    if (are_whole(conv, io, filter, TILE_FILTERS)) pixel = usual_tiles(conv, io, first, last, filter);
#endif
    for (; pixel + PIXELS <= last; pixel += PIXELS) {
      if (is_whole)
        tile(conv, io, pixel, PIXELS, filter, VECTORS);
      else
        tile(conv, io, pixel, PIXELS, filter, BLOCK / LANES);
    }
    if (pixel < last) rest(conv, io, pixel, last - pixel, filter, is_whole ? VECTORS : BLOCK / LANES);
  }
}

#ifndef block_bits
INLINE uint32_t block_bits(const float *p) {
  uint32_t bits = 0;
#pragma GCC unroll 4
  for (int part = 0; part < BLOCK; part += TAIL) bits |= float_bits(load_floats(p + part)) << part;
  return bits;
}
#endif

static void pack(const float *input, int pitch, int channels, int pixels, uint32_t *signs, int signs_pitch) {
  for (int pixel = 0; pixel < pixels; ++pixel) {
    const float *row = input + (size_t)pixel * pitch;
    uint16_t *halves = (uint16_t *)(signs + (size_t)pixel * signs_pitch);
    signs[(size_t)pixel * signs_pitch + (channels - 1) / WORD] = 0;
    int channel = 0;
    for (; channel + BLOCK <= channels; channel += BLOCK) halves[channel / BLOCK] = (uint16_t)block_bits(row + channel);
    if (channel < channels) {
      uint32_t bits = 0;
#pragma GCC unroll 4
      for (int part = 0; part < BLOCK; part += TAIL)
        bits |= float_bits(read_part(row + channel + part, channels - channel - part)) << part;
      halves[channel / BLOCK] = (uint16_t)bits;
    }
  }
}

#include "windows.h"

#ifdef STEM_RUNS
#include "winograd.h"
#else
#define STEM NULL
#endif

const Kernels JOIN(kernels_, NAME) = {TEXT(NAME), bconv, pack, CONV, STEM, DENSE, depthwise, average, max_window};
