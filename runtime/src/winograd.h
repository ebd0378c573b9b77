// The kernel of stem.h. A kernel file includes this behind windows.h.

// Outputs that the sums of all points make, a run; tiles of several runs, so that a weight is read once for all.
enum { STEM_OUTPUTS = 4, STEM_TILES = 8, STEM_SEGMENT = STEM_OUTPUTS * STEM_RUNS * STEM_TILES };
// Pixels from run to run.
enum { STEM_STEP = STEM_OUTPUTS * STEM_STRIDE };

// Every second pixel at each point: for the taps in even places, then for those in odd places.
static const float stem_pixels_at[STEM_PRODUCTS][STEM_COLUMNS] = {
    {4, -8, -5, 10, 1, -2, 0}, {0, -4, 4, 9, -1, -2, 0}, {0, -4, 12, -7, -3, 2, 0}, {0, 2, -3, -4, 3, 2, 0},
    {0, 2, -5, 0, 5, -2, 0},   {0, 4, 0, -5, 0, 1, 0},   {0, -4, 8, 5, -10, -1, 2},

    {4, 0, -5, 0, 1, 0, 0},    {0, 4, 4, -1, -1, 0, 0},  {0, -4, 4, 1, -1, 0, 0},   {0, -2, -1, 2, 1, 0, 0},
    {0, 2, -1, -2, 1, 0, 0},   {0, 4, 0, -5, 0, 1, 0},
};

// Of one row of a segment: [tile][channel][product][run].
typedef float StemRow[STEM_TILES * STEM_CHANNELS * STEM_PRODUCTS * STEM_RUNS];

// One channel of an input row from column `begin` on, at all points, for `tiles` tiles of runs.
INLINE void stem_pixels(const Stem *s, const float *row, int begin, int channel, int tiles, float *to) {
  // Column 8 * run + i at [i][run]; zero outside of the map.
  float columns[STEM_STEP][STEM_TILES * STEM_RUNS + 1 + TAIL];
  const int runs = round_up(tiles * STEM_RUNS, TAIL);
  for (int run = 0; run <= runs; ++run) {
    for (int i = 0; i < STEM_STEP; ++i) {
      const int x = begin + run * STEM_STEP + i;
      columns[i][run] = x >= 0 && x < s->width ? row[x * s->pitch + channel] : 0;
    }
  }
  for (int run = 0; run < runs; run += TAIL) {
    for (int k = 0; k < STEM_PRODUCTS; ++k) {
      Floats sum = {0};
#pragma GCC unroll 8
      for (int i = 0; i < STEM_COLUMNS; ++i) {
        const int column = STEM_STRIDE * i;
        const float *at = &columns[column % STEM_STEP + (k >= STEM_EVEN)][run + column / STEM_STEP];
        sum = multiply_add(splat(stem_pixels_at[k][i]), load_floats(at), sum);
      }
      float made[TAIL];
      memcpy(made, &sum, sizeof sum);
      for (int i = 0; i < TAIL && run + i < tiles * STEM_RUNS; i += STEM_RUNS) {
        const int tile = (run + i) / STEM_RUNS;
        memcpy(to + (tile * s->channels + channel) * STEM_PRODUCTS * STEM_RUNS + k * STEM_RUNS, made + i,
               STEM_RUNS * sizeof(float));
      }
    }
  }
}

// TAIL filters of the outputs of a tile. `rows` of the window lie inside of the map, from tap row `top` on.
INLINE void stem_tile(const Stem *s, float *const *lines, int top, int rows, int tile, int filter, float *output,
                      int outputs) {
  const int values = s->channels * STEM_PRODUCTS;
  const float *weights = s->weights + (int64_t)(filter / BLOCK * s->kernel_h + top) * values * BLOCK + filter % BLOCK;
  Floats sum[STEM_RUNS][STEM_POINTS];
#pragma GCC unroll 4
  for (int run = 0; run < STEM_RUNS; ++run) {
#pragma GCC unroll 8
    for (int point = 0; point < STEM_POINTS; ++point) sum[run][point] = (Floats){0};
  }
  for (int y = 0; y < rows; ++y) {
    const float *x = lines[y] + (int64_t)tile * values * STEM_RUNS;
    for (int channel = 0; channel < s->channels; ++channel) {
#pragma GCC unroll 16
      for (int k = 0; k < STEM_PRODUCTS; ++k) {
        // Infinity stands last in both.
        const int point = k < STEM_EVEN ? k : k == STEM_PRODUCTS - 1 ? STEM_POINTS - 1 : k - STEM_EVEN;
        const Floats weight = load_floats(weights + k * BLOCK);
#pragma GCC unroll 4
        for (int run = 0; run < STEM_RUNS; ++run)
          sum[run][point] = multiply_add(splat(x[k * STEM_RUNS + run]), weight, sum[run][point]);
      }
      weights += STEM_PRODUCTS * BLOCK, x += STEM_PRODUCTS * STEM_RUNS;
    }
  }
  const Floats bias = load_floats(s->bias + filter);
  Floats result[STEM_RUNS * STEM_OUTPUTS];
#pragma GCC unroll 4
  for (int run = 0; run < STEM_RUNS; ++run) {
    const Floats *at = sum[run], even = at[1] + at[2], odd = at[1] - at[2], even2 = at[3] + at[4], odd2 = at[3] - at[4];
    Floats *y = result + run * STEM_OUTPUTS;
    y[0] = at[0] + even + even2 + at[5] + bias;
    y[1] = odd + 2.0f * odd2 + 0.5f * at[5] + bias;
    y[2] = even + 4.0f * even2 + 0.25f * at[5] + bias;
    y[3] = odd + 8.0f * odd2 + 0.125f * at[5] + at[6] + bias;
  }
  for (int i = 0; i < min_int(outputs, STEM_RUNS * STEM_OUTPUTS); ++i) {
    const Floats y = s->is_limited ? between(s->low, s->high, result[i]) : result[i];
    memcpy(output + i * s->output_step + filter, &y, sizeof y);
  }
}

static void stem(const Stem *given, int first, int last) {
  const Stem copy = *given, *s = &copy;  // which what is written cannot change
  for (int begin = 0; begin < s->outputs; begin += STEM_SEGMENT) {
    const int outputs = min_int(STEM_SEGMENT, s->outputs - begin);
    const int tiles = (outputs - 1) / (STEM_RUNS * STEM_OUTPUTS) + 1;
    // The rows that a window sees: the next window sees most of them again.
    StemRow held[STEM_ROWS];
    int row_of[STEM_ROWS];
    for (int i = 0; i < STEM_ROWS; ++i) row_of[i] = -1;
    for (int y = first; y < last; ++y) {
      const int place = y * s->stride_h - s->top;
      float *lines[STEM_ROWS];
      const int top = max_int(0, -place), bottom = min_int(s->kernel_h, s->height - place);
      for (int ky = top; ky < bottom; ++ky) {
        const int row = place + ky, slot = row % STEM_ROWS;
        lines[ky - top] = held[slot];
        if (row_of[slot] == row) continue;
        row_of[slot] = row;
        for (int channel = 0; channel < s->channels; ++channel)
          stem_pixels(s, s->input + row * s->row, begin * STEM_STRIDE - s->left, channel, tiles, held[slot]);
      }
      float *output = s->output + y * s->output_row + begin * s->output_step;
      for (int filter = 0; filter < s->filters; filter += TAIL) {
        for (int tile = 0; tile < tiles; ++tile) {
          const int at = tile * STEM_RUNS * STEM_OUTPUTS;
          stem_tile(s, lines, top, max_int(0, bottom - top), tile, filter, output + at * s->output_step, outputs - at);
        }
      }
    }
  }
}

#define STEM stem
