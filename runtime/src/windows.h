// Float windows: convolutions and pools. A kernel file includes this behind kernel.h.

#ifndef larger
INLINE Floats larger(Floats a, Floats b) { return choose(a > b, a, b); }
INLINE Floats smaller(Floats a, Floats b) { return choose(a < b, a, b); }
#endif

INLINE Floats between(float low, float high, Floats v) { return smaller(splat(high), larger(splat(low), v)); }

INLINE Floats limited(const FloatWindows *w, Floats v) { return w->is_limited ? between(w->low, w->high, v) : v; }

// Where the tile that holds `pixel` begins, and its pixels. The last one begins earlier, so that it is whole too.
INLINE int tile_at(const FloatWindows *w, int pixel, int most, int *pixels) {
  *pixels = w->pixels < most ? 1 : most;
  return min_int(pixel, w->pixels - *pixels);
}

typedef enum { WEIGH, ADD, LARGEST } WindowKind;

// `vectors` of channels, of which `present` exist; 1 where not all do. All numbers but places are constants once
// inlined.
INLINE void window_tile(const FloatWindows *w, WindowKind kind, int pixel, int pixels, int channel, int vectors,
                        int present) {
  const int64_t stride = round_up(w->channels, BLOCK), step = w->input_step;
  const float *input = w->input + pixel * step + channel;
  Floats result[WINDOW_PIXELS][BLOCK / TAIL];
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      // A convolution begins with the bias and rounds each product, as TFLite's own on x86-64: what is zero but for
      // rounding gets the same sign then.
      result[p][v] = kind == WEIGH     ? load_floats(w->bias + channel + v * TAIL)
                     : kind == LARGEST ? read_part(input + p * step + v * TAIL, present)
                                       : (Floats){0};
    }
  }
  for (int y = 0; y < w->rows; ++y) {
    const float *weights = kind == WEIGH ? w->weights + (w->first_tap + y * w->kernel_w) * stride + channel : NULL;
    const float *at = input + y * w->row;
    for (int x = 0; x < w->columns; ++x, at += w->pitch) {
      Floats weight[BLOCK / TAIL];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) weight[v] = kind == WEIGH ? load_floats(weights + v * TAIL) : (Floats){0};
      if (kind == WEIGH) weights += stride;
#pragma GCC unroll 16
      for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
          const Floats value = read_part(at + p * step + v * TAIL, present);
          if (kind == WEIGH)
            result[p][v] += value * weight[v];
          else if (kind == ADD)
            result[p][v] += value;
          else
            result[p][v] = larger(value, result[p][v]);
        }
      }
    }
  }
  const float count = (float)(w->rows * w->columns);
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      if (kind == ADD) result[p][v] /= count;
      write_part(w->output + (pixel + p) * w->output_step + channel + v * TAIL, limited(w, result[p][v]), present);
    }
  }
}

INLINE void windows(const FloatWindows *given, WindowKind kind) {
  const FloatWindows copy = *given, *w = &copy;  // which what is written cannot change
  for (int pixel = 0, pixels; pixel < w->pixels; pixel += pixels) {
    pixel = tile_at(w, pixel, WINDOW_PIXELS, &pixels);
    int channel = 0;
    for (; channel + BLOCK <= w->channels; channel += BLOCK) {
      if (pixels == WINDOW_PIXELS)
        window_tile(w, kind, pixel, WINDOW_PIXELS, channel, BLOCK / TAIL, TAIL);
      else
        window_tile(w, kind, pixel, 1, channel, BLOCK / TAIL, TAIL);
    }
    for (; channel < w->channels; channel += TAIL) {
      for (int p = 0; p < pixels; ++p) window_tile(w, kind, pixel + p, 1, channel, 1, w->channels - channel);
    }
  }
}

static void depthwise(const FloatWindows *w) { windows(w, WEIGH); }

static void average(const FloatWindows *w) { windows(w, ADD); }

static void max_window(const FloatWindows *w) { windows(w, LARGEST); }

#ifdef multiply_add
enum { DENSE_BLOCKS = 4 };

typedef float Values __attribute__((vector_size(4 * VALUES)));

// `count` values of each pixel, times their weights; 1 or VALUES. All numbers are constants once inlined.
INLINE void multiply(const float *input, const int64_t *place, const float *weights, size_t block, int pixels,
                     int vectors, int count, Floats (*sum)[CONV_VECTORS]) {
  Values values[CONV_PIXELS];
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) memcpy(&values[p], input + place[p], (size_t)count * sizeof(float));
#pragma GCC unroll 4
  for (int i = 0; i < count; ++i, weights += BLOCK) {
    Floats weight[CONV_VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) weight[v] = load_floats(weights + v * TAIL / BLOCK * block + v * TAIL % BLOCK);
#pragma GCC unroll 16
    for (int p = 0; p < pixels; ++p) {
      const Floats value = splat(values[p][i]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[p][v] = multiply_add(value, weight[v], sum[p][v]);
    }
  }
}

// `pixels` and `vectors` are constants once inlined.
INLINE void conv_tile(const FloatWindows *w, int pixel, int pixels, int filter, int vectors) {
  const size_t block = (size_t)w->taps * w->channels * BLOCK;
  // The taps of a row lie side by side where nothing is between their channels.
  const bool joined = w->pitch == w->channels;
  const int run = joined ? w->columns * w->channels : w->channels, runs = joined ? 1 : w->columns;
  int64_t place[CONV_PIXELS];
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) place[p] = p * w->input_step;
  Floats sum[CONV_PIXELS][CONV_VECTORS];
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sum[p][v] = load_floats(w->bias + filter + v * TAIL);
  }
  for (int y = 0; y < w->rows; ++y) {
    const float *weights =
        w->weights + filter / BLOCK * block + (size_t)(w->first_tap + y * w->kernel_w) * w->channels * BLOCK;
    for (int x = 0; x < runs; ++x) {
      const float *input = w->input + y * w->row + x * w->pitch + pixel * w->input_step;
      int i = 0;
      for (; i + VALUES <= run; i += VALUES, weights += VALUES * BLOCK)
        multiply(input + i, place, weights, block, pixels, vectors, VALUES, sum);
      for (; i < run; ++i, weights += BLOCK) multiply(input + i, place, weights, block, pixels, vectors, 1, sum);
    }
  }
  const bool are_all = filter + vectors * TAIL <= w->filters;
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      write_part(w->output + (pixel + p) * w->output_step + filter + v * TAIL, limited(w, sum[p][v]),
                 are_all ? TAIL : w->filters - filter - v * TAIL);
  }
}

// Pixels that read the weights of all filters before the next ones do.
enum { CONV_CHUNK = 8 * CONV_PIXELS };

static void conv(const FloatWindows *given) {
  const FloatWindows copy = *given, *w = &copy;
  const int block = BLOCK / TAIL, all = round_up(w->filters, BLOCK);
  for (int chunk = 0; chunk < w->pixels; chunk += CONV_CHUNK) {
    const int end = min_int(chunk + CONV_CHUNK, w->pixels);
    for (int filter = 0; filter < all; filter += CONV_VECTORS * TAIL) {
      // The last may be an odd number of blocks.
      const bool is_whole = CONV_VECTORS == block || filter + CONV_VECTORS * TAIL <= all;
      for (int pixel = chunk, pixels; pixel < end; pixel += pixels) {
        pixel = tile_at(w, pixel, CONV_PIXELS, &pixels);
        if (pixels == CONV_PIXELS && is_whole)
          conv_tile(w, pixel, CONV_PIXELS, filter, CONV_VECTORS);
        else if (is_whole)
          conv_tile(w, pixel, 1, filter, CONV_VECTORS);
        else if (pixels == CONV_PIXELS)
          conv_tile(w, pixel, CONV_PIXELS, filter, block);
        else
          conv_tile(w, pixel, 1, filter, block);
      }
    }
  }
}

// `blocks` of filters at a time, so that additions need not wait for each other. It is a constant once inlined.
INLINE void dense_tile(const Dense *d, int filter, int blocks) {
  typedef int8_t Bytes __attribute__((vector_size(TAIL)));
  const size_t block = (size_t)d->channels * BLOCK;
  const int8_t *weights = d->weights + filter / BLOCK * block;
  Floats sum[DENSE_BLOCKS][BLOCK / TAIL];
#pragma GCC unroll 4
  for (int b = 0; b < blocks; ++b) {
#pragma GCC unroll 4
    for (int part = 0; part < BLOCK / TAIL; ++part) sum[b][part] = (Floats){0};
  }
  for (int channel = 0; channel < d->channels; ++channel, weights += BLOCK) {
    const Floats value = splat(d->input[channel]);
#pragma GCC unroll 4
    for (int b = 0; b < blocks; ++b) {
#pragma GCC unroll 4
      for (int part = 0; part < BLOCK / TAIL; ++part) {
        Bytes bytes;
        memcpy(&bytes, weights + b * block + part * TAIL, sizeof bytes);
        sum[b][part] = multiply_add(value, __builtin_convertvector(bytes, Floats), sum[b][part]);
      }
    }
  }
#pragma GCC unroll 4
  for (int b = 0; b < blocks; ++b) {
#pragma GCC unroll 4
    for (int part = 0; part < BLOCK / TAIL; ++part) {
      const int at = filter + b * BLOCK + part * TAIL;
      const Floats y = multiply_add(sum[b][part], load_floats(d->scale + at), load_floats(d->bias + at));
      write_part(d->output + at, d->is_limited ? between(d->low, d->high, y) : y, d->filters - at);
    }
  }
}

static void dense(const Dense *d, int first, int last) {
  int filter = first;
  for (; filter + DENSE_BLOCKS * BLOCK <= last; filter += DENSE_BLOCKS * BLOCK) dense_tile(d, filter, DENSE_BLOCKS);
  for (; filter < last; filter += BLOCK) dense_tile(d, filter, 1);
}

#define CONV conv
#define DENSE dense
#else
#define CONV NULL
#define DENSE NULL
#endif
