// Float windows of pixels side by side: convolutions and pools. A kernel file includes this behind kernel.h.

typedef float Values __attribute__((vector_size(4 * VALUES)));

#ifndef limited
INLINE Floats limited(Floats v, float low, float high) {
  v = choose(v < low, low - (Floats){0}, v);
  return choose(v > high, high - (Floats){0}, v);
}
#endif

typedef enum { WEIGH, ADD, LARGEST } WindowKind;

// `parts` vectors of channels of a pixel, of which `present` channels exist. `kind` and `parts` are constants once inlined.
INLINE void window_part(const FloatWindow *w, float *output, int channel, int parts, int present, WindowKind kind) {
  const int64_t stride = round_up(w->channels, BLOCK);
  Floats result[BLOCK / TAIL];
#pragma GCC unroll 4
  for (int part = 0; part < parts; ++part)
    result[part] = kind == LARGEST ? read_part(w->input + channel + part * TAIL, present) : (Floats){0};
  for (int y = 0; y < w->rows; ++y) {
    const float *from = w->input + y * w->row + channel;
    const float *weights = kind == WEIGH ? w->weights + (w->first_tap + y * w->kernel_w) * stride + channel : NULL;
    for (int x = 0; x < w->columns; ++x, from += w->pitch) {
#pragma GCC unroll 4
      for (int part = 0; part < parts; ++part) {
        const Floats value = read_part(from + part * TAIL, present);
        if (kind == WEIGH)
          result[part] = multiply_add(value, load_floats(weights + part * TAIL), result[part]);
        else if (kind == ADD)
          result[part] += value;
        else
          result[part] = choose(value > result[part], value, result[part]);
      }
      if (kind == WEIGH) weights += stride;
    }
  }
#pragma GCC unroll 4
  for (int part = 0; part < parts; ++part) {
    if (kind == WEIGH) result[part] = limited(result[part] + load_floats(w->bias + channel + part * TAIL), w->low, w->high);
    if (kind == ADD) result[part] /= (float)(w->rows * w->columns);
    write_part(output + channel + part * TAIL, result[part], present);
  }
}

INLINE void windows(const FloatWindow *window, float *output, int pixels, int64_t step, int64_t pitch, WindowKind kind) {
  // A copy, which what is written cannot change.
  FloatWindow w = *window;
  for (; pixels > 0; --pixels, w.input += step, output += pitch) {
    int channel = 0;
    for (; channel + BLOCK <= w.channels; channel += BLOCK)
      window_part(&w, output, channel, BLOCK / TAIL, BLOCK, kind);
    for (; channel < w.channels; channel += TAIL) window_part(&w, output, channel, 1, w.channels - channel, kind);
  }
}

static void depthwise(const FloatWindow *w, float *output, int pixels, int64_t step, int64_t pitch) {
  windows(w, output, pixels, step, pitch, WEIGH);
}

static void average(const FloatWindow *w, float *output, int pixels, int64_t step, int64_t pitch) {
  windows(w, output, pixels, step, pitch, ADD);
}

static void max_window(const FloatWindow *w, float *output, int pixels, int64_t step, int64_t pitch) {
  windows(w, output, pixels, step, pitch, LARGEST);
}

// `count` values of each pixel, times their weights; 1 or VALUES. `pixels` and `count` are constants once inlined.
INLINE void multiply(const float *input, int64_t step, const float *weights, int pixels, int count,
                     Floats sum[ROW][BLOCK / TAIL]) {
  Values values[ROW];
#pragma GCC unroll 8
  for (int p = 0; p < pixels; ++p) memcpy(&values[p], input + p * step, (size_t)count * sizeof(float));
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i, weights += BLOCK) {
    Floats weight[BLOCK / TAIL];
#pragma GCC unroll 8
    for (int part = 0; part < BLOCK / TAIL; ++part) weight[part] = load_floats(weights + part * TAIL);
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) {
      // 0 is subtracted: compilers leave that out, where a sum would change -0.
      const Floats value = values[p][i] - (Floats){0};
#pragma GCC unroll 4
      for (int part = 0; part < BLOCK / TAIL; ++part) sum[p][part] = multiply_add(value, weight[part], sum[p][part]);
    }
  }
}

// `pixels` is a constant once inlined.
INLINE void conv_tile(const FloatWindow *w, float *output, int pixels, int64_t step, int64_t pitch, int filter) {
  const size_t block = (size_t)w->taps * w->channels * BLOCK;
  // Taps whose channels lie side by side are one.
  const bool is_joined = w->pitch == w->channels;
  const int taps = is_joined ? 1 : w->columns, values = is_joined ? w->columns * w->channels : w->channels;
  Floats sum[ROW][BLOCK / TAIL];
#pragma GCC unroll 8
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int part = 0; part < BLOCK / TAIL; ++part) sum[p][part] = load_floats(w->bias + filter + part * TAIL);
  }
  for (int y = 0; y < w->rows; ++y) {
    const float *weights = w->weights + filter / BLOCK * block + (size_t)(w->first_tap + y * w->kernel_w) * w->channels * BLOCK;
    for (int tap = 0; tap < taps; ++tap) {
      const float *input = w->input + y * w->row + tap * w->pitch;
      int at = 0;
      for (; at + VALUES <= values; at += VALUES, weights += VALUES * BLOCK)
        multiply(input + at, step, weights, pixels, VALUES, sum);
      for (; at < values; ++at, weights += BLOCK) multiply(input + at, step, weights, pixels, 1, sum);
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int part = 0; part < BLOCK / TAIL; ++part)
      write_part(output + p * pitch + filter + part * TAIL, limited(sum[p][part], w->low, w->high),
                 w->filters - filter - part * TAIL);
  }
}

static void conv(const FloatWindow *window, float *output, int pixels, int64_t step, int64_t pitch) {
  FloatWindow w = *window;
  for (; pixels >= ROW; pixels -= ROW, w.input += ROW * step, output += ROW * pitch) {
    for (int filter = 0; filter < w.filters; filter += BLOCK) conv_tile(&w, output, ROW, step, pitch, filter);
  }
  for (; pixels > 0; --pixels, w.input += step, output += pitch) {
    for (int filter = 0; filter < w.filters; filter += BLOCK) conv_tile(&w, output, 1, step, pitch, filter);
  }
}
