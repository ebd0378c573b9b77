#include "norm.h"

#include <math.h>
#include <stdlib.h>

#include "copies.h"
#include "spread.h"
#include "zeros.h"

// A band is as many rows as fill vectors: values of one lane are of one channel. Few lanes would wait for their own
// sums.
enum { LANES = 16, LEAST_LANES = 64, VALUES_OF_LOT = 1 << 13 };
// What a lane has for its channel, and what is summed.
enum { CENTER, SCALE, BIAS, POSITIVE, NEGATIVE, SHIFT, INVERSE, OF_X, CONSTANT, COEFFICIENTS };
enum { OF_CENTERED, OF_SQUARES, STATISTICS };
enum { OF_BETA, OF_GAMMA, OF_POSITIVE, OF_NEGATIVE, OF_SHIFT, GRADIENTS };

typedef struct {
  const Norm *norm;
  int64_t lanes, count, lot;  // of a band, of x, of a lot: a multiple of the lanes
  int64_t lots;
  float *coefficients;  // [coefficient][lane]
  float *sums;          // [lot][sum][lane]
  double *totals;       // [sum][channel]
} Work;

INLINE const float *of_lanes(const Work *work, int coefficient) {
  return work->coefficients + coefficient * work->lanes;
}

INLINE float *sums_of(const Work *work, int64_t lot, int sum) {
  return work->sums + (lot * GRADIENTS + sum) * work->lanes;
}

static bool begin(Work *work, const Norm *norm) {
  int64_t rows = 1;
  while (rows * norm->channels % LANES || rows * norm->channels < LEAST_LANES) ++rows;
  *work = (Work){.norm = norm, .lanes = rows * norm->channels, .count = norm->rows * norm->channels};
  work->lot = (VALUES_OF_LOT + work->lanes - 1) / work->lanes * work->lanes;
  work->lots = (work->count + work->lot - 1) / work->lot;
  work->coefficients = zeros((size_t)(COEFFICIENTS * work->lanes) * sizeof(float));
  work->sums = zeros((size_t)(work->lots * GRADIENTS * work->lanes) * sizeof(float));
  work->totals = calloc((size_t)(GRADIENTS * norm->channels), sizeof *work->totals);
  return work->coefficients && work->sums && work->totals;
}

static bool end(Work *work, bool is_made) {
  free(work->coefficients), free(work->sums), free(work->totals);
  return is_made;
}

static void set(const Work *work, int coefficient, int64_t channel, double value) {
  float *to = work->coefficients + coefficient * work->lanes;
  for (int64_t lane = channel; lane < work->lanes; lane += work->norm->channels) to[lane] = (float)value;
}

// Runs a pass that sums, and adds up what its lots found: in the same order with any number of threads.
static void sum(Work *work, int sums, void (*pass)(void *, int, int), Threads *threads) {
  const int64_t channels = work->norm->channels;
  spread(threads, (int)work->lots, pass, work);
  for (int64_t lot = 0; lot < work->lots; ++lot) {
    for (int i = 0; i < sums; ++i) {
      const float *found = sums_of(work, lot, i);
      double *total = work->totals + i * channels;
      for (const float *end = found + work->lanes; found < end; found += channels)
        for (int64_t channel = 0; channel < channels; ++channel) total[channel] += found[channel];
    }
  }
}

// What is in memory: constants, once inlined.
typedef struct {
  bool x_is_int16, dx_is_bfloat16;
} Types;

// What is done with the values of a band, from `place` on. The last band may have fewer than others.
typedef void Band(const Work *work, Types types, int64_t lot, int64_t place, int64_t values);

INLINE void each_band(const Work *work, Types types, int first, int last, Band *band) {
  for (int64_t lot = first; lot < last; ++lot) {
    const int64_t stop = least((lot + 1) * work->lot, work->count);
    for (int64_t place = lot * work->lot; place < stop; place += work->lanes)
      band(work, types, lot, place, least(work->lanes, stop - place));
  }
}

#define PASS_OF_TYPES(name, types, ...)                                     \
  INLINE void pass_##name##_##types##_of(void *work, int first, int last) { \
    each_band(work, (Types){__VA_ARGS__}, first, last, name##_band);        \
  }                                                                         \
  PASS(static, pass_##name##_##types)
#define PASS_OF_BANDS(name)                \
  PASS_OF_TYPES(name, float, false, false) \
  PASS_OF_TYPES(name, int16, true, false)

INLINE float value_at(const void *x, int64_t place, Types types) {
  return types.x_is_int16 ? (float)((const int16_t *)x)[place] : ((const float *)x)[place];
}

INLINE void statistics_band(const Work *work, Types types, int64_t lot, int64_t place, int64_t values) {
  const float *center = of_lanes(work, CENTER);
  float *sum = sums_of(work, lot, OF_CENTERED), *squares = sums_of(work, lot, OF_SQUARES);
#pragma omp simd
  for (int64_t i = 0; i < values; ++i) {
    const float value = value_at(work->norm->x, place + i, types) - center[i];
    sum[i] += value;
    squares[i] += value * value;
  }
}
PASS_OF_BANDS(statistics)

INLINE void forward_band(const Work *work, Types types, int64_t lot, int64_t place, int64_t values) {
  (void)lot;
  const float *center = of_lanes(work, CENTER), *scale = of_lanes(work, SCALE), *bias = of_lanes(work, BIAS);
  const float *p = of_lanes(work, POSITIVE), *n = of_lanes(work, NEGATIVE), *shift = of_lanes(work, SHIFT);
  const float *shortcut = work->norm->shortcut + place;
  float *y = work->norm->y + place;
#pragma omp simd
  for (int64_t i = 0; i < values; ++i) {
    const float centered = value_at(work->norm->x, place + i, types) - center[i], z = centered * scale[i] + bias[i];
    const float positive = p[i], negative = n[i];
    y[i] = shortcut[i] + shift[i] + z * (z > 0 ? positive : negative);
  }
}
PASS_OF_BANDS(forward)

INLINE void gradient_sums_band(const Work *work, Types types, int64_t lot, int64_t place, int64_t values) {
  const float *center = of_lanes(work, CENTER), *scale = of_lanes(work, SCALE), *bias = of_lanes(work, BIAS);
  const float *p = of_lanes(work, POSITIVE), *n = of_lanes(work, NEGATIVE);
  const float *inverse = of_lanes(work, INVERSE);
  const float *upstream = work->norm->upstream + place;
  float *of_beta = sums_of(work, lot, OF_BETA), *of_gamma = sums_of(work, lot, OF_GAMMA);
  float *of_p = sums_of(work, lot, OF_POSITIVE), *of_n = sums_of(work, lot, OF_NEGATIVE);
  float *of_shift = sums_of(work, lot, OF_SHIFT);
#pragma omp simd
  for (int64_t i = 0; i < values; ++i) {
    const float centered = value_at(work->norm->x, place + i, types) - center[i], z = centered * scale[i] + bias[i];
    const float both = z * upstream[i], above = z > 0 ? both : 0;
    const float positive = p[i], negative = n[i], behind = upstream[i] * (z > 0 ? positive : negative);
    of_beta[i] += behind;
    of_gamma[i] += behind * centered * inverse[i];
    of_p[i] += above;
    of_n[i] += both - above;
    of_shift[i] += upstream[i];
  }
}
PASS_OF_BANDS(gradient_sums)

INLINE void gradient_band(const Work *work, Types types, int64_t lot, int64_t place, int64_t values) {
  (void)lot;
  const float *center = of_lanes(work, CENTER), *scale = of_lanes(work, SCALE), *bias = of_lanes(work, BIAS);
  const float *p = of_lanes(work, POSITIVE), *n = of_lanes(work, NEGATIVE);
  const float *of_x = of_lanes(work, OF_X), *constant = of_lanes(work, CONSTANT);
  const float *upstream = work->norm->upstream + place;
  float *dx = work->norm->dx;
  uint16_t *halves = work->norm->dx;
#pragma omp simd
  for (int64_t i = 0; i < values; ++i) {
    const float centered = value_at(work->norm->x, place + i, types) - center[i], z = centered * scale[i] + bias[i];
    const float positive = p[i], negative = n[i];
    const float found = scale[i] * upstream[i] * (z > 0 ? positive : negative) + (centered * of_x[i] + constant[i]);
    if (types.dx_is_bfloat16)
      halves[place + i] = halved(found);
    else
      dx[place + i] = found;
  }
}
PASS_OF_BANDS(gradient)
PASS_OF_TYPES(gradient, float_to_bfloat16, false, true)
PASS_OF_TYPES(gradient, int16_to_bfloat16, true, true)

// What a lane needs to find z of x, and its slope.
static void set_forward(const Work *work) {
  const Norm *norm = work->norm;
  for (int64_t i = 0; i < norm->channels; ++i) {
    const double inverse = 1 / sqrt((double)norm->variance[i] + norm->epsilon);
    set(work, CENTER, i, norm->mean[i]), set(work, INVERSE, i, inverse);
    set(work, SCALE, i, norm->gamma[i] * inverse), set(work, BIAS, i, norm->beta[i]);
    set(work, POSITIVE, i, norm->p[i]), set(work, NEGATIVE, i, norm->n[i]);
    set(work, SHIFT, i, norm->t[i]);
  }
}

static float first_of_channel(const Norm *norm, int64_t channel) {
  return value_at(norm->x, channel, (Types){norm->is_int16, false});
}

bool normalize(const Norm *norm, Threads *threads) {
  Work work;
  // Of nothing there are no statistics, but numbers.
  for (int64_t i = 0; i < norm->channels; ++i) norm->mean[i] = 0, norm->variance[i] = 0;
  if (!begin(&work, norm)) return end(&work, false);
  // A value of each channel is subtracted, so that squares stay small where the mean is large.
  for (int64_t i = 0; i < norm->channels && norm->rows; ++i) set(&work, CENTER, i, first_of_channel(norm, i));
  sum(&work, STATISTICS, norm->is_int16 ? pass_statistics_int16 : pass_statistics_float, threads);
  for (int64_t i = 0; i < norm->channels && norm->rows; ++i) {
    const double mean = work.totals[OF_CENTERED * norm->channels + i] / (double)norm->rows;
    const double variance = work.totals[OF_SQUARES * norm->channels + i] / (double)norm->rows - mean * mean;
    norm->mean[i] = (float)(first_of_channel(norm, i) + mean), norm->variance[i] = (float)fmax(variance, 0);
  }
  set_forward(&work);
  spread(threads, (int)work.lots, norm->is_int16 ? pass_forward_int16 : pass_forward_float, &work);
  return end(&work, true);
}

bool normalize_gradient(const Norm *norm, Threads *threads) {
  Work work;
  if (!begin(&work, norm)) return end(&work, false);
  set_forward(&work);
  sum(&work, GRADIENTS, norm->is_int16 ? pass_gradient_sums_int16 : pass_gradient_sums_float, threads);
  const double *totals = work.totals;
  for (int64_t i = 0; i < norm->channels; ++i) {
    const double of_beta = totals[OF_BETA * norm->channels + i], of_gamma = totals[OF_GAMMA * norm->channels + i];
    norm->dbeta[i] = (float)of_beta, norm->dgamma[i] = (float)of_gamma;
    norm->dp[i] = (float)totals[OF_POSITIVE * norm->channels + i];
    norm->dn[i] = (float)totals[OF_NEGATIVE * norm->channels + i];
    norm->dt[i] = (float)totals[OF_SHIFT * norm->channels + i];
    // With h = (x - mean) inverse: dx = scale (upstream of z - (of_beta + h of_gamma) / rows).
    const double inverse = 1 / sqrt((double)norm->variance[i] + norm->epsilon);
    const double each = norm->gamma[i] * inverse / (double)(norm->rows ? norm->rows : 1);
    set(&work, OF_X, i, -each * inverse * of_gamma);
    set(&work, CONSTANT, i, -each * of_beta);
  }
  void (*passes[2][2])(void *, int, int) = {{pass_gradient_float, pass_gradient_float_to_bfloat16},
                                            {pass_gradient_int16, pass_gradient_int16_to_bfloat16}};
  spread(threads, (int)work.lots, passes[norm->is_int16][norm->is_bfloat16], &work);
  return end(&work, true);
}
