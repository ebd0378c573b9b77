// The template of a micro-kernel. A file for an instruction set defines the macros below, and includes this file.
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
//   ROW            pixels of a float convolution that share the weights they read
//   VALUES         floats of a pixel that it reads together
//   multiply_add(a, b, c)  a * b + c of float vectors, rounded once where the processor can
//   where_negative(y, a)  lane by lane a where y < 0, else y; -0.0 is not below 0
//   float_bits(y)         bit i tells whether lane i of y is below 0
//   negative_bits(v)      bit i tells whether lane i of a vector of TAIL int32_t is negative
// It may define faster ways for whole tiles:
//   sum_whole(conv, input, offset, weights, sums)  what `sum_tile` does; whether it has
//   block_bits(p)                                  bit i tells whether p[i] is below 0, of BLOCK floats
//   usual_tiles(conv, io, first, last, filter)     tiles of TILE_FILTERS filters, and signs of whole words; gives the next pixel

#include <string.h>

#include "bconv.h"

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

INLINE Floats choose(Ints mask, Floats yes, Floats no) { return (Floats)((mask & (Ints)yes) | (~mask & (Ints)no)); }

// The sums of a tile: [pixel][filter]. `pixels` and `vectors` are constants once inlined.
INLINE void sum_tile(const BConv *conv, const uint32_t *input, const int32_t *offset, const uint32_t *weights, int pixels,
                     int vectors, int32_t *sums) {
  const size_t block_words = (size_t)conv->runs * conv->run_words * BLOCK;
  Acc acc[PIXELS][VECTORS];
  int steps = 0;
  bool is_stored = false;
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) acc[p][v] = zero_acc();
  }
  for (int run = 0; run < conv->runs; ++run) {
    const uint32_t *at[PIXELS];
#pragma GCC unroll 16
    for (int p = 0; p < pixels; ++p) at[p] = input + offset[p] + conv->run_offset[run];
    for (int word = 0; word < conv->run_words; ++word) {
      Words w[VECTORS];
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v)
        w[v] = load_words(weights + v * LANES / BLOCK * block_words + v * LANES % BLOCK);
#pragma GCC unroll 16
      for (int p = 0; p < pixels; ++p) {
        const Words x = broadcast(at[p][word]);
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
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) store_sums(acc[p][v], sums + p * TILE_FILTERS + v * LANES, is_stored);
  }
}

INLINE Floats read_part(const float *p, int present) {
  if (present >= TAIL) return load_floats(p);
  Floats v = {0};
  if (present > 0) memcpy(&v, p, (size_t)present * sizeof(float));
  return v;
}

INLINE void write_part(float *p, Floats v, int present) {
  if (present >= TAIL)
    memcpy(p, &v, sizeof v);
  else if (present > 0)
    memcpy(p, &v, (size_t)present * sizeof(float));
}

INLINE void write_int8(int8_t *p, Floats v, int present) {
  for (int i = 0; i < min_int(TAIL, present); ++i) {
    // To the nearest, halves away from zero.
    const float limited = v[i] < -128.0f ? -128.0f : v[i] > 127.0f ? 127.0f : v[i];
    const int whole = (int)(limited + (limited < 0 ? -0.5f : 0.5f));
    p[i] = (int8_t)min_int(127, max_int(-128, whole));
  }
}

// Writes 16 signs, or `present` of them, as those of the channels from `place` on.
INLINE void write_signs(uint32_t *words, int place, uint32_t bits, int present, bool is_last) {
  if (place % BLOCK == 0) {
    ((uint16_t *)words)[place / BLOCK] = (uint16_t)bits;
    // Nothing else clears the rest of the last word.
    if (place % WORD == 0 && is_last) ((uint16_t *)words)[place / BLOCK + 1] = 0;
    return;
  }
  for (int i = 0; i < present; ++i) {
    const uint32_t bit = 1u << (place + i) % WORD;
    uint32_t *word = &words[(place + i) / WORD];
    *word = bits >> i & 1 ? *word | bit : *word & ~bit;
  }
}

// 16 filters of a pixel, from `filter` on; `present` of them exist.
INLINE void finish(const BConv *conv, const BConvIO *io, const int32_t *sums, int pixel, int filter, int present) {
  const int32_t *border = NULL;
  if (conv->border_class) border = conv->border_sum + (size_t)conv->border_class[pixel] * round_up(conv->filters, BLOCK) + filter;
  uint32_t bits = 0;
#pragma GCC unroll 4
  for (int part = 0; part < BLOCK; part += TAIL) {
    const int at = filter + part, left = present - part;
    Ints sum = load_ints(sums + part);
    sum += sum;
    if (border) sum += load_ints(border + part);
    if (conv->kind == OUT_THRESHOLD) {
      bits |= negative_bits((Ints)((sum >> 1) > load_ints(conv->threshold + at))) << part;
      continue;
    }
    const Ints above = sum > conv->clamp_max, below = sum < conv->clamp_min;
    sum = (above & conv->clamp_max) | (~above & sum);
    sum = (below & conv->clamp_min) | (~below & sum);
    Floats y = __builtin_convertvector(sum, Floats) * load_floats(conv->multiplier + at);
    y += load_floats(conv->bias + at);
    if (conv->slope) y = where_negative(y, y * load_floats(conv->slope + at));
    if (io->added) y += read_part(io->added + (size_t)pixel * io->added_pitch + at, left);
    if (conv->relu) y = choose(y < 0.0f, (Floats){0}, y);
    if (io->output) write_part(io->output + (size_t)pixel * io->output_pitch + at, y, left);
    if (conv->kind == OUT_INT8) write_int8(io->output8 + (size_t)pixel * io->output_pitch + at, y, left);
    bits |= float_bits(y) << part;
  }
  if (io->signs) {
    bits &= (1u << present) - 1;
    write_signs(io->signs + io->signs_offset[pixel], io->signs_filter + filter, bits, present, filter + BLOCK >= conv->filters);
  }
}

// Whole blocks of a convolution with PRELU, ADD and the next sign, as trunks have them. What belongs to a filter stays in
// registers from pixel to pixel. `has_output` is a constant once inlined.
INLINE void finish_usual(const BConv *conv, const BConvIO *io, const int32_t *sums, int pixel, int pixels, int filter,
                         bool has_output) {
  Floats multiplier[BLOCK / TAIL], bias[BLOCK / TAIL], slope[BLOCK / TAIL];
#pragma GCC unroll 4
  for (int part = 0; part < BLOCK / TAIL; ++part) {
    multiplier[part] = load_floats(conv->multiplier + filter + part * TAIL);
    bias[part] = load_floats(conv->bias + filter + part * TAIL);
    slope[part] = load_floats(conv->slope + filter + part * TAIL);
  }
  const float *added = io->added + (size_t)pixel * io->added_pitch + filter;
  float *output = has_output ? io->output + (size_t)pixel * io->output_pitch + filter : NULL;
  const int half = (io->signs_filter + filter) / BLOCK;
  for (int p = 0; p < pixels; ++p) {
    uint32_t bits = 0;
#pragma GCC unroll 4
    for (int part = 0; part < BLOCK / TAIL; ++part) {
      Ints sum = load_ints(sums + p * TILE_FILTERS + part * TAIL);
      sum += sum;
      Floats y = __builtin_convertvector(sum, Floats) * multiplier[part];
      y += bias[part];
      y = where_negative(y, y * slope[part]);
      y += load_floats(added + (size_t)p * io->added_pitch + part * TAIL);
      if (has_output) memcpy(output + (size_t)p * io->output_pitch + part * TAIL, &y, sizeof y);
      bits |= float_bits(y) << part * TAIL;
    }
    ((uint16_t *)(io->signs + io->signs_offset[pixel + p]))[half] = (uint16_t)bits;
  }
}

// All of a tile. One copy of it in the library is enough, where there are many of `sum_tile`.
static __attribute__((noinline)) void finish_tile(const BConv *conv, const BConvIO *io, const int32_t *sums, int pixel,
                                                  int pixels, int filter, int filters) {
  const bool is_usual = conv->kind == OUT_FLOAT && !conv->is_clamped && !conv->border_class && conv->slope && io->added &&
                        !conv->relu && io->signs && io->signs_filter % BLOCK == 0;
  for (int f = 0; f < filters; f += BLOCK) {
    const int present = min_int(BLOCK, conv->filters - filter - f);
    // The last block of an odd number also clears what is left of a word.
    const bool clears = filter + f + BLOCK >= conv->filters && (io->signs_filter + filter + f) % WORD == 0;
    if (is_usual && present == BLOCK && !clears) {
      if (io->output)
        finish_usual(conv, io, sums + f, pixel, pixels, filter + f, true);
      else
        finish_usual(conv, io, sums + f, pixel, pixels, filter + f, false);
      continue;
    }
    for (int p = 0; p < pixels; ++p) finish(conv, io, sums + p * TILE_FILTERS + f, pixel + p, filter + f, present);
  }
}

INLINE void tile(const BConv *conv, const BConvIO *io, int pixel, int pixels, int filter, int vectors) {
  int32_t sums[PIXELS * TILE_FILTERS] __attribute__((aligned(64)));
  const uint32_t *weights = conv->weights + (size_t)filter * conv->runs * conv->run_words;
#ifdef sum_whole
  const bool is_whole = pixels == PIXELS && vectors == VECTORS;
  if (!is_whole || !sum_whole(conv, io->input, conv->input_offset + pixel, weights, sums))
#endif
    sum_tile(conv, io->input, conv->input_offset + pixel, weights, pixels, vectors, sums);
  finish_tile(conv, io, sums, pixel, pixels, filter, vectors * LANES);
}

// A tile of fewer pixels: the number has to be a constant.
static void rest(const BConv *conv, const BConvIO *io, int pixel, int pixels, int filter, int vectors) {
  const bool is_whole = vectors == VECTORS;
  switch (pixels) {
#define CASE(n)                                                     \
  case n:                                                           \
    if (n >= PIXELS) break;                                         \
    if (is_whole)                                                   \
      tile(conv, io, pixel, n, filter, VECTORS);                    \
    else                                                            \
      tile(conv, io, pixel, n, filter, BLOCK / LANES);              \
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
    // The last block of an odd number also clears what is left of a word.
    const int place = io->signs_filter + filter;
    const bool clears = filter + TILE_FILTERS >= conv->filters && place % WORD == 0;
    if (filter + TILE_FILTERS <= conv->filters && !(io->signs && (clears || place % BLOCK)))
      pixel = usual_tiles(conv, io, first, last, filter);
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

const Kernels JOIN(kernels_, NAME) = {TEXT(NAME), bconv, pack, depthwise, average, max_window, conv};
