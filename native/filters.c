#include "filters.h"

#include "bconv.h"

#if !defined(__x86_64__)

bool has_bfloat16(void) { return false; }

bool filter_gradient(const FilterGradient *gradient, Threads *threads) {
  (void)gradient, (void)threads;
  return false;
}

#else

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BFLOAT16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

// A tile: channels, and vectors of filters. Two pixels side by side are multiplied at once.
enum { MAPS = 8, LANES = 16, VECTORS = 2, DEEP = VECTORS * LANES };
// Pixels that are packed together, and of them those whose gradients stay in the first cache for all channels.
enum { PIXELS_OF_CHUNK = 1024, PIXELS_OF_BAND = 256 };

typedef struct {
  const FilterGradient *gradient;
  int channels, filters;        // of a group, and padded:
  int wide, deep;               // to whole tiles
  int pairs, frame_h, frame_w;  // pixels side by side; a picture with what is outside of it
  int frame_rows;               // that a row of the kernel meets
  ptrdiff_t block, frame, map;  // words of a block of a frame, of all of it, and of a picture's gradients
  uint32_t *signs, *upstream;   // of a chunk: packed
  int first, pictures;          // of the chunk
  _Atomic bool has_failed;
} Work;

bool has_bfloat16(void) {
  unsigned a, b, c, d;
  return strcmp(kernels_choose(NULL)->name, "avx512") == 0 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & 1 << 5;
}

// Where a frame's row stands.
static ptrdiff_t place_of_row(const Work *work, int row) {
  const int stride = work->gradient->shape.stride;
  return row % stride * work->frame_rows + row / stride;
}

// Two values of 16 bits a word, of `count` channels of pixels side by side.
BFLOAT16 static inline void join(const uint16_t *restrict a, const uint16_t *restrict b, int count,
                                 uint32_t *restrict to) {
  for (int i = 0; i < count; ++i) to[i] = a[i] | (uint32_t)b[i] << 16;
}

// The signs of a picture: [column of the kernel][group][block of MAPS channels][frame row][pair][MAPS], 1 where a value
// is below 0. Frame rows stand in the order in which a row of the kernel meets them: with stride 2 even ones, then odd
// ones.
BFLOAT16 static void pack_signs(const Work *work, const float *picture, uint16_t *line, uint32_t *to) {
  const Convolution *shape = &work->gradient->shape;
  const int pixel = shape->groups * work->wide;
  for (int y = 0; y < shape->h; ++y) {
    for (int x = 0; x < shape->w; ++x) {
      uint16_t *signs = line + (size_t)(x + shape->left) * pixel;
      const float *values = picture + ((size_t)y * shape->w + x) * shape->channels;
      for (int group = 0; group < shape->groups; ++group) {
        for (int i = 0; i < work->channels; ++i)
          signs[group * work->wide + i] = values[group * work->channels + i] < 0 ? 0x3f80 : 0;
      }
    }
    uint32_t *row = to + place_of_row(work, y + shape->top) * work->pairs * MAPS;
    for (int kx = 0; kx < shape->kernel_w; ++kx) {
      for (int map = 0; map < pixel; map += MAPS, row += work->block) {
        const uint16_t *first = line + (size_t)kx * pixel + map;
        for (int pair = 0; pair < work->pairs; ++pair, first += (size_t)2 * shape->stride * pixel)
          join(first, first + (size_t)shape->stride * pixel, MAPS, row + pair * MAPS);
      }
    }
  }
}

// The gradients of a picture: [group][block of DEEP filters][row][pair][DEEP].
BFLOAT16 static void pack_upstream(const Work *work, const uint16_t *from, uint32_t *to) {
  const Convolution *shape = &work->gradient->shape;
  for (int group = 0; group < shape->groups; ++group) {
    for (int filter = 0; filter < work->deep; filter += DEEP) {
      const int step = min_int(DEEP, work->deep - filter), present = min_int(step, work->filters - filter);
      for (int y = 0; y < shape->out_h; ++y) {
        for (int pair = 0; pair < work->pairs; ++pair, to += step) {
          const uint16_t *first =
              from + ((size_t)y * shape->out_w + 2 * pair) * shape->filters + group * work->filters + filter;
          if (2 * pair + 1 == shape->out_w)
            for (int i = 0; i < present; ++i) to[i] = first[i];
          else
            join(first, first + shape->filters, present, to);
        }
      }
    }
  }
}

// Adds the products of rows `first` to `last` - 1 of all pictures for MAPS channels and `vectors` of filters. `vectors`
// is a constant once inlined.
BFLOAT16 static inline __attribute__((always_inline)) void tile(const Work *work, const uint32_t *signs,
                                                                const uint32_t *upstream, int first, int last, int maps,
                                                                int filters, int vectors, float *sums) {
  const Convolution *shape = &work->gradient->shape;
  const int pairs = work->pairs;
  __m512 sum[MAPS][VECTORS];
#pragma GCC unroll 8
  for (int m = 0; m < MAPS; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) sum[m][v] = _mm512_setzero_ps();
  }
  for (int at = first, rows; at < last; at += rows) {
    const int y = at % shape->out_h;
    rows = min_int(shape->out_h - y, last - at);
    const uint32_t *x = signs + at / shape->out_h * work->frame + (ptrdiff_t)y * pairs * MAPS;
    // DEEP filters of a picture lie together, row after row.
    const uint32_t *g = upstream + at / shape->out_h * work->map + (ptrdiff_t)y * pairs * vectors * LANES;
    for (const uint32_t *end = x + (ptrdiff_t)rows * pairs * MAPS; x < end; x += MAPS, g += vectors * LANES) {
      __m512bh gradient[VECTORS];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) gradient[v] = (__m512bh)_mm512_loadu_si512(g + v * LANES);
#pragma GCC unroll 8
      for (int m = 0; m < MAPS; ++m) {
        const __m512bh sign = (__m512bh)_mm512_set1_epi32((int)x[m]);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) sum[m][v] = _mm512_dpbf16_ps(sum[m][v], gradient[v], sign);
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < MAPS; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      const int left = filters - v * LANES;
      const __mmask16 present = m >= maps || left <= 0 ? 0 : left >= LANES ? 0xffff : (__mmask16)((1u << left) - 1);
      float *to = sums + (size_t)m * shape->filters + v * LANES;
      _mm512_mask_storeu_ps(to, present, _mm512_add_ps(sum[m][v], _mm512_maskz_loadu_ps(present, to)));
    }
  }
}

static void pack_pictures(void *context, int first, int last) {
  Work *work = context;
  const Convolution *shape = &work->gradient->shape;
  // What lies outside of a picture, or pads it, stays zero.
  uint16_t *line = calloc((size_t)work->frame_w * shape->groups * work->wide, sizeof *line);
  if (!line) work->has_failed = true;
  for (int i = first; line && i < last; ++i) {
    const size_t picture = (size_t)work->first + i;
    pack_signs(work, shape->input + picture * shape->h * shape->w * shape->channels, line,
               work->signs + i * work->frame);
    pack_upstream(work, work->gradient->upstream + picture * shape->out_h * shape->out_w * shape->filters,
                  work->upstream + i * work->map);
  }
  free(line);
}

// Adds what a chunk of pictures brings for blocks `first` to `last` - 1 of channels.
BFLOAT16 static void add_blocks(void *context, int first, int last) {
  Work *work = context;
  const Convolution *shape = &work->gradient->shape;
  const int rows = work->pictures * shape->out_h, step = max_int(1, PIXELS_OF_BAND / shape->out_w);
  const int blocks = shape->groups * work->wide / MAPS;
  for (int at = first; at < last; ++at) {
    const int group = at * MAPS / work->wide, map = at * MAPS % work->wide, maps = work->channels - map;
    for (int filter = 0; filter < work->deep; filter += DEEP) {
      const uint32_t *g = work->upstream + (ptrdiff_t)shape->out_h * work->pairs * (group * work->deep + filter);
      const int filters = work->filters - filter;
      for (int row = 0; row < rows; row += step) {
        for (int tap = 0; tap < shape->kernel_h * shape->kernel_w; ++tap) {
          const int ky = tap / shape->kernel_w, kx = tap % shape->kernel_w;
          const uint32_t *x =
              work->signs + (kx * blocks + at) * work->block + place_of_row(work, ky) * work->pairs * MAPS;
          float *to = work->gradient->result + ((size_t)tap * work->channels + map) * shape->filters +
                      group * work->filters + filter;
          if (work->deep - filter >= DEEP)
            tile(work, x, g, row, min_int(row + step, rows), maps, filters, VECTORS, to);
          else
            tile(work, x, g, row, min_int(row + step, rows), maps, filters, 1, to);
        }
      }
    }
  }
}

bool filter_gradient(const FilterGradient *gradient, Threads *threads) {
  const Convolution *shape = &gradient->shape;
  const int pairs = (shape->out_w + 1) / 2, channels = shape->channels / shape->groups;
  Work work = {
      .gradient = gradient,
      .channels = channels,
      .filters = shape->filters / shape->groups,
      .wide = round_up(channels, MAPS),
      .deep = round_up(shape->filters / shape->groups, LANES),
      .pairs = pairs,
      .frame_h = max_int(shape->top + shape->h, (shape->out_h - 1) * shape->stride + shape->kernel_h),
      .frame_w = max_int(shape->left + shape->w, (2 * pairs - 1) * shape->stride + shape->kernel_w),
  };
  const int chunk = min_int(shape->pictures, max_int(1, PIXELS_OF_CHUNK / (shape->out_h * shape->out_w)));
  work.frame_rows = (work.frame_h + shape->stride - 1) / shape->stride;
  work.block = (ptrdiff_t)shape->stride * work.frame_rows * pairs * MAPS;
  work.frame = shape->kernel_w * (shape->groups * work.wide / MAPS) * work.block;
  work.map = (ptrdiff_t)shape->out_h * pairs * shape->groups * work.deep;
  work.signs = calloc((size_t)chunk * work.frame, sizeof *work.signs);
  work.upstream = calloc((size_t)chunk * work.map, sizeof *work.upstream);
  work.has_failed = !work.signs || !work.upstream;
  memset(gradient->result, 0,
         (size_t)shape->kernel_h * shape->kernel_w * channels * shape->filters * sizeof *gradient->result);
  for (; work.first < shape->pictures && !work.has_failed; work.first += work.pictures) {
    work.pictures = min_int(chunk, shape->pictures - work.first);
    threads_run(threads, work.pictures, 1, pack_pictures, &work);
    threads_run(threads, shape->groups * work.wide / MAPS, 1, add_blocks, &work);
  }
  free(work.signs), free(work.upstream);
  return !work.has_failed;
}

#endif
