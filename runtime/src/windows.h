// Float windows: convolutions and pools. A kernel file includes this behind kernel.h.

INLINE Floats limited(const FloatWindows *w, Floats v) {
  if (!w->is_limited) return v;
  v = choose(v < w->low, splat(w->low), v);
  return choose(v > w->high, splat(w->high), v);
}

// Where the tile that holds `pixel` begins, and its pixels. The last one begins earlier, so that it is whole too.
INLINE int tile_at(const FloatWindows *w, int pixel, int *pixels) {
  *pixels = w->pixels < CONV_PIXELS ? 1 : CONV_PIXELS;
  return min_int(pixel, w->pixels - *pixels);
}

typedef enum { WEIGH, ADD, LARGEST } WindowKind;

// TAIL channels. `kind`, `pixels`, and `present` where all channels are, are constants once inlined.
INLINE void window_tile(const FloatWindows *w, WindowKind kind, int pixel, int pixels, int channel, int present) {
  const int64_t stride = round_up(w->channels, BLOCK), step = w->input_step;
  const float *input = w->input + pixel * step + channel;
  const float *weights = kind == WEIGH ? w->weights + w->first_tap * stride + channel : NULL;
  // A convolution begins with the bias and rounds each product, as TFLite's own on x86-64: what is zero but for rounding
  // gets the same sign then.
  const Floats bias = kind == WEIGH ? load_floats(w->bias + channel) : (Floats){0};
  Floats result[CONV_PIXELS];
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) result[p] = kind == LARGEST ? read_part(input + p * step, present) : bias;
  for (int y = 0; y < w->rows; ++y) {
    for (int x = 0; x < w->columns; ++x) {
      const Floats weight = kind == WEIGH ? load_floats(weights + (y * w->kernel_w + x) * stride) : (Floats){0};
      const float *at = input + y * w->row + x * w->pitch;
#pragma GCC unroll 16
      for (int p = 0; p < pixels; ++p) {
        const Floats value = read_part(at + p * step, present);
        if (kind == WEIGH)
          result[p] += value * weight;
        else if (kind == ADD)
          result[p] += value;
        else
          result[p] = choose(value > result[p], value, result[p]);
      }
    }
  }
  const float count = (float)(w->rows * w->columns);
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
    if (kind == ADD) result[p] /= count;
    write_part(w->output + (pixel + p) * w->output_step + channel, limited(w, result[p]), present);
  }
}

INLINE void windows(const FloatWindows *given, WindowKind kind) {
  const FloatWindows copy = *given, *w = &copy;  // which what is written cannot change
  for (int pixel = 0, pixels; pixel < w->pixels; pixel += pixels) {
    pixel = tile_at(w, pixel, &pixels);
    for (int channel = 0; channel < w->channels; channel += TAIL) {
      const int present = w->channels - channel;
      if (pixels == CONV_PIXELS && present >= TAIL)
        window_tile(w, kind, pixel, CONV_PIXELS, channel, TAIL);
      else
        for (int p = 0; p < pixels; ++p) window_tile(w, kind, pixel + p, 1, channel, present);
    }
  }
}

static void depthwise(const FloatWindows *w) { windows(w, WEIGH); }

static void average(const FloatWindows *w) { windows(w, ADD); }

static void max_window(const FloatWindows *w) { windows(w, LARGEST); }

#ifdef multiply_add
typedef float Values __attribute__((vector_size(4 * VALUES)));

// `count` values of each pixel, times their weights; 1 or VALUES. All numbers are constants once inlined.
INLINE void multiply(const float *input, const int64_t *place, const float *weights, size_t block, int pixels, int vectors,
                     int count, Floats (*sum)[CONV_VECTORS]) {
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
    const float *weights = w->weights + filter / BLOCK * block + (size_t)(w->first_tap + y * w->kernel_w) * w->channels * BLOCK;
    for (int x = 0; x < runs; ++x) {
      const float *input = w->input + y * w->row + x * w->pitch + pixel * w->input_step;
      int i = 0;
      for (; i + VALUES <= run; i += VALUES, weights += VALUES * BLOCK)
        multiply(input + i, place, weights, block, pixels, vectors, VALUES, sum);
      for (; i < run; ++i, weights += BLOCK) multiply(input + i, place, weights, block, pixels, vectors, 1, sum);
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      write_part(w->output + (pixel + p) * w->output_step + filter + v * TAIL, limited(w, sum[p][v]),
                 w->filters - filter - v * TAIL);
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
        pixel = tile_at(w, pixel, &pixels);
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

#define CONV conv
#else
#define CONV NULL
#endif
