// Float windows of one pixel: convolutions and pools. A kernel file includes this behind kernel.h.

INLINE Floats limited(Floats v, float low, float high) {
  v = choose(v < low, (Floats){0} + low, v);
  return choose(v > high, (Floats){0} + high, v);
}

static void depthwise(const FloatWindow *w, float *output) {
  const int stride = round_up(w->channels, BLOCK);
  for (int channel = 0; channel < w->channels; channel += TAIL) {
    const int present = w->channels - channel;
    Floats sum = {0};
    for (int y = 0; y < w->rows; ++y) {
      const float *weights = w->weights + (size_t)(w->first_tap + y * w->kernel_w) * stride + channel;
      for (int x = 0; x < w->columns; ++x)
        sum += read_part(w->input + y * w->row + x * w->pitch + channel, present) * load_floats(weights + (size_t)x * stride);
    }
    sum += load_floats(w->bias + channel);
    write_part(output + channel, limited(sum, w->low, w->high), present);
  }
}

static void conv(const FloatWindow *w, float *output) {
  const size_t block = (size_t)w->taps * w->channels * BLOCK;
  for (int filter = 0; filter < w->filters; filter += BLOCK) {
    Floats sum[BLOCK / TAIL];
#pragma GCC unroll 4
    for (int part = 0; part < BLOCK / TAIL; ++part) sum[part] = load_floats(w->bias + filter + part * TAIL);
    for (int y = 0; y < w->rows; ++y) {
      const float *weights = w->weights + filter / BLOCK * block + (size_t)(w->first_tap + y * w->kernel_w) * w->channels * BLOCK;
      for (int x = 0; x < w->columns; ++x) {
        const float *input = w->input + y * w->row + x * w->pitch;
        for (int channel = 0; channel < w->channels; ++channel, weights += BLOCK) {
#pragma GCC unroll 4
          for (int part = 0; part < BLOCK / TAIL; ++part) sum[part] += input[channel] * load_floats(weights + part * TAIL);
        }
      }
    }
#pragma GCC unroll 4
    for (int part = 0; part < BLOCK / TAIL; ++part)
      write_part(output + filter + part * TAIL, limited(sum[part], w->low, w->high), w->filters - filter - part * TAIL);
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
