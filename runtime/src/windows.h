// Float windows of one pixel: convolutions and pools. A kernel file includes this behind kernel.h.

INLINE Floats limited(Floats v, float low, float high) {
  v = choose(v < low, (Floats){0} + low, v);
  return choose(v > high, (Floats){0} + high, v);
}

// As TFLite's own on x86-64: from the bias on, each product rounded. What is zero but for rounding gets the same sign then.
static void depthwise(const FloatWindow *w, float *output) {
  const int stride = round_up(w->channels, BLOCK);
  for (int channel = 0; channel < w->channels; channel += TAIL) {
    const int present = w->channels - channel;
    Floats sum = load_floats(w->bias + channel);
    for (int y = 0; y < w->rows; ++y) {
      const float *weights = w->weights + (size_t)(w->first_tap + y * w->kernel_w) * stride + channel;
      for (int x = 0; x < w->columns; ++x)
        sum += read_part(w->input + y * w->row + x * w->pitch + channel, present) * load_floats(weights + (size_t)x * stride);
    }
    write_part(output + channel, limited(sum, w->low, w->high), present);
  }
}

// `pixels` is a constant once inlined.
INLINE void conv_tile(const FloatWindow *w, float *output, int pixels, int64_t step, int64_t pitch, int filter) {
  const size_t block = (size_t)w->taps * w->channels * BLOCK;
  Floats sum[ROW][BLOCK / TAIL];
#pragma GCC unroll 8
  for (int p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int part = 0; part < BLOCK / TAIL; ++part) sum[p][part] = load_floats(w->bias + filter + part * TAIL);
  }
  for (int y = 0; y < w->rows; ++y) {
    const float *weights = w->weights + filter / BLOCK * block + (size_t)(w->first_tap + y * w->kernel_w) * w->channels * BLOCK;
    for (int x = 0; x < w->columns; ++x) {
      const float *input = w->input + y * w->row + x * w->pitch;
      for (int channel = 0; channel < w->channels; ++channel, weights += BLOCK) {
        Floats weight[BLOCK / TAIL];
#pragma GCC unroll 8
        for (int part = 0; part < BLOCK / TAIL; ++part) weight[part] = load_floats(weights + part * TAIL);
#pragma GCC unroll 8
        for (int p = 0; p < pixels; ++p) {
          const Floats value = (Floats){0} + input[p * step + channel];
#pragma GCC unroll 4
          for (int part = 0; part < BLOCK / TAIL; ++part) sum[p][part] = multiply_add(value, weight[part], sum[p][part]);
        }
      }
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

static void average(const FloatWindow *w, float *output) {
  const float count = (float)(w->rows * w->columns);
  for (int channel = 0; channel < w->channels; channel += TAIL) {
    const int present = w->channels - channel;
    Floats sum = {0};
    for (int y = 0; y < w->rows; ++y) {
      for (int x = 0; x < w->columns; ++x) sum += read_part(w->input + y * w->row + x * w->pitch + channel, present);
    }
    write_part(output + channel, sum / count, present);
  }
}

static void max_window(const FloatWindow *w, float *output) {
  for (int channel = 0; channel < w->channels; channel += TAIL) {
    const int present = w->channels - channel;
    Floats best = read_part(w->input + channel, present);
    for (int y = 0; y < w->rows; ++y) {
      for (int x = 0; x < w->columns; ++x) {
        const Floats value = read_part(w->input + y * w->row + x * w->pitch + channel, present);
        best = choose(value > best, value, best);
      }
    }
    write_part(output + channel, best, present);
  }
}
