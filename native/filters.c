#include "filters.h"

#include "bconv.h"
#include "spread.h"

void write_filter_gradient(const FilterGradient *gradient, const float *sums, int next_filter, int next_channel) {
  const Convolution *shape = &gradient->shape;
  const int taps = shape->kernel_h * shape->kernel_w, blocks = blocks_of(shape), halves = halves_of(shape);
  const int of_channels = shape->channels / shape->groups, of_filters = shape->filters / shape->groups;
  for (int part = 0; part < shape->groups * halves * blocks; ++part) {
    const int block = part % blocks, half = part / blocks % halves, group = part / blocks / halves;
    const int channels = min_int(LANES_OF_HALF, of_channels - half * LANES_OF_HALF);
    const int filters = min_int(FILTERS_OF_BLOCK, of_filters - block * FILTERS_OF_BLOCK);
    for (int tap = 0; tap < taps; ++tap, sums += FILTERS_OF_BLOCK * LANES_OF_HALF) {
      float *to = gradient->result + ((size_t)tap * of_channels + half * LANES_OF_HALF) * shape->filters +
                  group * of_filters + block * FILTERS_OF_BLOCK;
      for (int channel = 0; channel < channels; ++channel) {
        for (int f = 0; f < filters; ++f)
          to[(size_t)channel * shape->filters + f] = sums[f * next_filter + channel * next_channel];
      }
    }
  }
}

#if !defined(__x86_64__)

bool has_filter_gradient(bool of_bfloat16) {
  (void)of_bfloat16;
  return false;
}

bool filter_gradient(const FilterGradient *gradient, Threads *threads) {
  (void)gradient, (void)threads;
  return false;
}

#else

#include <cpuid.h>
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

// What multiplies bfloat16 is reached where the processor does.
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))

// A tile: filters, and channels.
enum { FILTERS = FILTERS_OF_BLOCK, LANES = LANES_OF_HALF };
// Pixels that are packed together, and of them those whose gradients stay in the first cache for all taps.
enum { PIXELS_OF_CHUNK = 1024, PIXELS_OF_BAND = 256 };

typedef struct {
  const FilterGradient *gradient;
  int filters, words, halves, blocks;  // of a group; a half has LANES channels, a block FILTERS filters
  int steps;                           // of a row: pixels, or pairs of them where two are multiplied at once
  ptrdiff_t pixel, frame;              // words of a pixel's signs, and of a frame
  int first, pictures, rows;           // of a chunk
  const uint32_t *signs;               // of the chunk: frames
  uint32_t *upstream;                  // of the chunk: [group][block][row][step][FILTERS]
  float *sums;                         // [group][half][block][tap][FILTERS][LANES]
  float *whole;                        // [group][block][FILTERS]: sums without signs; of floats alone
} Work;

bool has_filter_gradient(bool of_bfloat16) {
  unsigned a, b, c, d;
  if (strcmp(kernels_choose(NULL)->name, "avx512") != 0) return false;
  return !of_bfloat16 || (__get_cpuid_count(7, 1, &a, &b, &c, &d) && a & 1 << 5);
}

// FILTERS gradients of a pixel, or of two side by side; `present` of them exist.
AVX512 static inline void pack_step(const Work *work, const void *upstream, size_t from, int present, bool has_next,
                                    uint32_t *to) {
  const uint32_t *floats = (const uint32_t *)upstream + from;
  const uint16_t *halves = (const uint16_t *)upstream + from, *next = halves + work->gradient->shape.filters;
  if (!work->gradient->is_bfloat16) {
    for (int i = 0; i < present; ++i) to[i] = floats[i];
  } else if (has_next && present == FILTERS) {
    for (int i = 0; i < FILTERS; ++i) to[i] = halves[i] | (uint32_t)next[i] << 16;
  } else {
    for (int i = 0; i < present; ++i) to[i] = halves[i] | (has_next ? (uint32_t)next[i] << 16 : 0);
  }
}

AVX512 static void pack_pictures(void *context, int first, int last) {
  const Work *work = context;
  const Convolution *shape = &work->gradient->shape;
  const int pixels = work->gradient->is_bfloat16 ? 2 : 1;
  for (int i = first; i < last; ++i) {
    const size_t picture = (size_t)work->first + i;
    for (int y = 0; y < shape->out_h; ++y) {
      const size_t pixel = (picture * shape->out_h + y) * shape->out_w;
      for (int at = 0; at < shape->groups * work->blocks; ++at) {
        const int filter = at % work->blocks * FILTERS, present = min_int(FILTERS, work->filters - filter);
        const size_t from = pixel * shape->filters + at / work->blocks * work->filters + filter;
        uint32_t *to = work->upstream + ((ptrdiff_t)at * work->rows + i * shape->out_h + y) * work->steps * FILTERS;
        for (int step = 0; step < work->steps; ++step)
          pack_step(work, work->gradient->upstream, from + (size_t)step * pixels * shape->filters, present,
                    step * pixels + 1 < shape->out_w, to + step * FILTERS);
      }
    }
  }
}

// What a pixel adds where a sign is negative: half of the products are additions under a mask, half multiplications,
// for these have units of their own. `g` are the gradients of FILTERS filters.
AVX512 static inline __attribute__((always_inline)) void add_pixel(__mmask16 signs, const uint32_t *g, __m512 *sum) {
  const __m512 factor = _mm512_maskz_mov_ps(signs, _mm512_set1_ps(1));
  // In this order both units are busy; compilers put like by like.
#pragma GCC unroll 8
  for (int f = 0; f < FILTERS; f += 2) {
    __asm__ volatile("vaddps %2%{1to16%}, %0, %0%{%1%}" : "+v"(sum[f]) : "Yk"(signs), "m"(g[f]));
    __asm__ volatile("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum[f + 1]) : "v"(factor), "m"(g[f + 1]));
  }
}

// What two pixels add, in bfloat16: 1 or -1 times their gradients.
AVX512 static inline __attribute__((always_inline)) void add_pair(__mmask16 signs, __mmask16 next, const uint32_t *g,
                                                                  __m512 *sum) {
  const __m512i plus = _mm512_set1_epi32(0x3f803f80), low = _mm512_set1_epi32(0x8000);
  const __m512i first = _mm512_mask_xor_epi32(plus, signs, plus, low);
  const __m512bh factors = (__m512bh)_mm512_mask_xor_epi32(first, next, first, _mm512_slli_epi32(low, 16));
#pragma GCC unroll 16
  for (int f = 0; f < FILTERS; ++f)
    __asm__ volatile("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(sum[f]) : "v"(factors), "m"(g[f]));
}

// Adds what rows `first` to `last` - 1 of a chunk bring for one tap, LANES channels and FILTERS filters. `of_pairs` is
// a constant once inlined.
AVX512 static inline __attribute__((always_inline)) void tile(const Work *work, const uint16_t *signs,
                                                              const uint32_t *g, int first, int last, bool of_pairs,
                                                              float *sums) {
  const Convolution *shape = &work->gradient->shape;
  const ptrdiff_t step = 2 * shape->stride * work->pixel, row = step * shape->frame_w;
  const int out_h = shape->out_h, steps = work->steps;
  __m512 sum[FILTERS];
#pragma GCC unroll 16
  for (int f = 0; f < FILTERS; ++f) sum[f] = _mm512_loadu_ps(sums + f * LANES);
  int y = first % out_h;
  const uint16_t *picture = signs + first / out_h * 2 * work->frame, *line = picture + y * row;
  for (int at = first; at < last; ++at) {
    const uint16_t *x = line;
    for (const uint32_t *end = g + (ptrdiff_t)steps * FILTERS; g < end; g += FILTERS) {
      if (of_pairs) {
        add_pair(x[0], x[step], g, sum);
        x += 2 * step;
      } else {
        add_pixel(x[0], g, sum);
        x += step;
      }
    }
    line += row;
    if (++y == out_h) y = 0, picture += 2 * work->frame, line = picture;
  }
#pragma GCC unroll 16
  for (int f = 0; f < FILTERS; ++f) _mm512_storeu_ps(sums + f * LANES, sum[f]);
}

// Adds what rows of `steps` bring without their signs.
AVX512 static void add_whole(const uint32_t *g, ptrdiff_t steps, float *whole) {
  __m512 sum = _mm512_loadu_ps(whole);
  for (const uint32_t *end = g + steps * FILTERS; g < end; g += FILTERS) sum = _mm512_add_ps(sum, _mm512_loadu_ps(g));
  _mm512_storeu_ps(whole, sum);
}

// Adds what a chunk of pictures brings for parts `first` to `last` - 1: halves of words of channels by blocks of
// filters.
AVX512 static void add_parts(void *context, int first, int last) {
  const Work *work = context;
  const Convolution *shape = &work->gradient->shape;
  const int taps = shape->kernel_h * shape->kernel_w, step = max_int(1, PIXELS_OF_BAND / shape->out_w);
  for (int part = first; part < last; ++part) {
    const int block = part % work->blocks, half = part / work->blocks % work->halves,
              group = part / work->blocks / work->halves;
    for (int row = 0; row < work->rows; row += step) {
      const uint32_t *g =
          work->upstream + (((ptrdiff_t)group * work->blocks + block) * work->rows + row) * work->steps * FILTERS;
      const int end = min_int(row + step, work->rows);
      if (work->whole && half == 0)
        add_whole(g, (ptrdiff_t)(end - row) * work->steps, work->whole + (group * work->blocks + block) * FILTERS);
      for (int tap = 0; tap < taps; ++tap) {
        const ptrdiff_t place = (ptrdiff_t)(tap / shape->kernel_w) * shape->frame_w + tap % shape->kernel_w;
        const uint16_t *signs = (const uint16_t *)(work->signs + place * work->pixel + group * work->words) + half;
        float *sums = work->sums + ((ptrdiff_t)part * taps + tap) * FILTERS * LANES;
        if (work->gradient->is_bfloat16)
          tile(work, signs, g, row, end, true, sums);
        else
          tile(work, signs, g, row, end, false, sums);
      }
    }
  }
}

// Sums by the signs, from those where a sign is negative.
static void sign_sums(const Work *work, int taps) {
  for (int group = 0; group < work->gradient->shape.groups; ++group) {
    for (int part = 0; part < work->halves * work->blocks; ++part) {
      const float *whole = work->whole + (group * work->blocks + part % work->blocks) * FILTERS;
      float *sums = work->sums + ((ptrdiff_t)group * work->halves * work->blocks + part) * taps * FILTERS * LANES;
      for (int i = 0; i < taps * FILTERS * LANES; ++i) sums[i] = whole[i / LANES % FILTERS] - 2 * sums[i];
    }
  }
}

bool filter_gradient(const FilterGradient *gradient, Threads *threads) {
  const Convolution *shape = &gradient->shape;
  const int taps = shape->kernel_h * shape->kernel_w, channels = shape->channels / shape->groups;
  Work work = {
      .gradient = gradient,
      .filters = shape->filters / shape->groups,
      .words = words_of(channels),
      .halves = halves_of(shape),
      .blocks = blocks_of(shape),
      .steps = gradient->is_bfloat16 ? (shape->out_w + 1) / 2 : shape->out_w,
  };
  work.pixel = pixel_words(shape), work.frame = frame_words(shape);
  // Maps without a pixel bring nothing.
  const int pixels = shape->out_h * shape->out_w, pictures = pixels ? shape->pictures : 0;
  const int chunk = min_int(pictures, max_int(1, PIXELS_OF_CHUNK / max_int(1, pixels)));
  const size_t blocks = (size_t)shape->groups * work.blocks, parts = blocks * work.halves;
  work.upstream = calloc(blocks * chunk * shape->out_h * work.steps * FILTERS, sizeof *work.upstream);
  work.sums = calloc(parts * taps * FILTERS * LANES, sizeof *work.sums);
  if (!gradient->is_bfloat16) work.whole = calloc(blocks * FILTERS, sizeof *work.whole);
  const bool is_made = work.upstream && work.sums && (gradient->is_bfloat16 || work.whole);
  for (; is_made && work.first < pictures; work.first += work.pictures) {
    work.pictures = min_int(chunk, pictures - work.first);
    work.rows = work.pictures * shape->out_h;
    work.signs = shape->frames + work.first * work.frame;
    spread(threads, work.pictures, pack_pictures, &work);
    spread(threads, (int)parts, add_parts, &work);
  }
  if (is_made && work.whole) sign_sums(&work, taps);
  if (is_made) write_filter_gradient(gradient, work.sums, LANES, 1);
  free(work.upstream), free(work.sums), free(work.whole);
  return is_made;
}

#endif
