// Float windows: convolutions and pools. A kernel file includes this behind kernel.h.

#ifndef larger
INLINE Floats larger(Floats a, Floats b) { return choose(a > b, a, b); }
INLINE Floats smaller(Floats a, Floats b) { return choose(a < b, a, b); }
#endif

INLINE Floats limited(const FloatWindows *w, Floats v) {
  return w->is_limited ? smaller(splat(w->high), larger(splat(w->low), v)) : v;
}

// Where the tile that holds `pixel` begins, and its pixels. The last one begins earlier, so that it is whole too.
INLINE int tile_at(const FloatWindows *w, int pixel, int *pixels) {
  *pixels = w->pixels < CONV_PIXELS ? 1 : CONV_PIXELS;
  return min_int(pixel, w->pixels - *pixels);
}

// `pixels` is a constant once inlined, and `present` where all lanes are.
INLINE void depthwise_tile(const FloatWindows *w, int pixel, int pixels, int channel, int present) {
  const int64_t stride = round_up(w->channels, BLOCK), step = w->input_step;
  const float *input = w->input + pixel * step + channel;
  const float *weights = w->weights + w->first_tap * stride + channel;
  Floats sum[CONV_PIXELS];
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) sum[p] = (Floats){0};
  for (int y = 0; y < w->rows; ++y) {
    for (int x = 0; x < w->columns; ++x) {
      const Floats weight = load_floats(weights + (y * w->kernel_w + x) * stride);
      const float *at = input + y * w->row + x * w->pitch;
#pragma GCC unroll 16
      for (int p = 0; p < pixels; ++p) sum[p] = multiply_add(read_part(at + p * step, present), weight, sum[p]);
    }
  }
  const Floats bias = load_floats(w->bias + channel);
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p)
    write_part(w->output + (pixel + p) * w->output_step + channel, limited(w, sum[p] + bias), present);
}

static void depthwise(const FloatWindows *windows) {
  // A copy, which what is written cannot change.
  const FloatWindows copy = *windows, *w = &copy;
  for (int pixel = 0, pixels; pixel < w->pixels; pixel += pixels) {
    pixel = tile_at(w, pixel, &pixels);
    for (int channel = 0; channel < w->channels; channel += TAIL) {
      const int present = w->channels - channel;
      if (pixels == CONV_PIXELS && present >= TAIL)
        depthwise_tile(w, pixel, CONV_PIXELS, channel, TAIL);
      else
        for (int p = 0; p < pixels; ++p) depthwise_tile(w, pixel + p, 1, channel, present);
    }
  }
}

// `pixels` and `vectors` are constants once inlined.
INLINE void conv_tile(const FloatWindows *w, int pixel, int pixels, int filter, int vectors) {
  const size_t block = (size_t)w->taps * w->channels * BLOCK;
  // The taps of a row lie side by side where nothing is between their channels.
  const bool joined = w->pitch == w->channels;
  const int run = joined ? w->columns * w->channels : w->channels, runs = joined ? 1 : w->columns;
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
      const float *at[CONV_PIXELS];
#pragma GCC unroll 16
      for (int p = 0; p < pixels; ++p) at[p] = input + p * w->input_step;
      int i = 0;
#ifdef CONV_VALUES
      for (; i + CONV_VALUES <= run; i += CONV_VALUES) {
        typedef float Values __attribute__((vector_size(4 * CONV_VALUES)));
        Values values[CONV_PIXELS];
#pragma GCC unroll 16
        for (int p = 0; p < pixels; ++p) memcpy(&values[p], at[p] + i, sizeof values[p]);
#pragma GCC unroll 16
        for (int j = 0; j < CONV_VALUES; ++j, weights += BLOCK) {
          Floats weight[CONV_VECTORS];
#pragma GCC unroll 4
          for (int v = 0; v < vectors; ++v) weight[v] = load_floats(weights + v * TAIL / BLOCK * block + v * TAIL % BLOCK);
#pragma GCC unroll 16
          for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) sum[p][v] = multiply_add(splat(values[p][j]), weight[v], sum[p][v]);
          }
        }
      }
#endif
      for (; i < run; ++i, weights += BLOCK) {
        Floats weight[CONV_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) weight[v] = load_floats(weights + v * TAIL / BLOCK * block + v * TAIL % BLOCK);
#pragma GCC unroll 16
        for (int p = 0; p < pixels; ++p) {
          const Floats value = splat(at[p][i]);
#pragma GCC unroll 4
          for (int v = 0; v < vectors; ++v) sum[p][v] = multiply_add(value, weight[v], sum[p][v]);
        }
      }
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

static void conv(const FloatWindows *windows) {
  // A copy, which what is written cannot change.
  const FloatWindows copy = *windows, *w = &copy;
  const int block = BLOCK / TAIL, all = round_up(w->filters, BLOCK);
  for (int pixel = 0, pixels; pixel < w->pixels; pixel += pixels) {
    pixel = tile_at(w, pixel, &pixels);
    for (int filter = 0; filter < all; filter += CONV_VECTORS * TAIL) {
      // The last may be an odd number of blocks.
      const bool is_whole = CONV_VECTORS == block || filter + CONV_VECTORS * TAIL <= all;
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

// `parts` vectors of a pixel's channels; `parts` and `averages` are constants once inlined, and `present` where all lanes are.
INLINE void pool_part(const FloatWindows *w, int pixel, int channel, int parts, int present, bool averages) {
  const float *input = w->input + pixel * w->input_step + channel;
  Floats value[BLOCK / TAIL];
#pragma GCC unroll 4
  for (int part = 0; part < parts; ++part) value[part] = averages ? (Floats){0} : read_part(input + part * TAIL, present);
  for (int y = 0; y < w->rows; ++y) {
    const float *at = input + y * w->row;
    for (int x = 0; x < w->columns; ++x, at += w->pitch) {
#pragma GCC unroll 4
      for (int part = 0; part < parts; ++part) {
        const Floats read = read_part(at + part * TAIL, present);
        value[part] = averages ? value[part] + read : larger(read, value[part]);
      }
    }
  }
  const float count = (float)(w->rows * w->columns);
#pragma GCC unroll 4
  for (int part = 0; part < parts; ++part) {
    if (averages) value[part] /= count;
    write_part(w->output + pixel * w->output_step + channel + part * TAIL, value[part], present);
  }
}

INLINE void pool(const FloatWindows *windows, bool averages) {
  const FloatWindows copy = *windows, *w = &copy;
  for (int pixel = 0; pixel < w->pixels; ++pixel) {
    int channel = 0;
    for (; channel + BLOCK <= w->channels; channel += BLOCK) pool_part(w, pixel, channel, BLOCK / TAIL, BLOCK, averages);
    for (; channel < w->channels; channel += TAIL) pool_part(w, pixel, channel, 1, w->channels - channel, averages);
  }
}

static void average(const FloatWindows *w) { pool(w, true); }

static void max_window(const FloatWindows *w) { pool(w, false); }
