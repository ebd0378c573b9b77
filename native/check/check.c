// Convolutions, signs and ends of units of random shapes, with their gradients, beside plain loops, to run with
// sanitizers.
// check SEED COUNT
//
// Whole numbers, so that a convolution's sums in any order are the same.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filters.h"
#include "norm.h"
#include "passes.h"
#include "spread.h"

static unsigned state;

// From `low` to `high`.
static int any(int low, int high) {
  state = state * 1664525 + 1013904223;
  return low + (int)((state >> 8) % (unsigned)(high - low + 1));
}

static int places(int side, int window, int stride, bool same, int *before) {
  *before = 0;
  if (!same) return (side - window) / stride + 1;
  const int count = (side + stride - 1) / stride, outside = (count - 1) * stride + window - side;
  if (outside > 0) *before = outside / 2;
  return count;
}

// Of an output pixel: the input's value under a tap, 1 outside.
static float under(const Convolution *s, int picture, int y, int x, int tap, int channel) {
  const int row = y * s->stride + tap / s->kernel_w - s->top, column = x * s->stride + tap % s->kernel_w - s->left;
  if (row < 0 || row >= s->h || column < 0 || column >= s->w) return 1;
  return s->input[((size_t)(picture * s->h + row) * s->w + column) * s->channels + channel] < 0 ? -1 : 1;
}

// The sum of one filter at one place.
static float plain(const Convolution *s, int picture, int y, int x, int filter) {
  const int channels = s->channels / s->groups, group = (filter / (s->filters / s->groups) + s->turn) % s->groups;
  float sum = 0;
  for (int tap = 0; tap < s->kernel_h * s->kernel_w; ++tap) {
    for (int c = 0; c < channels; ++c)
      sum += under(s, picture, y, x, tap, group * channels + c) *
             s->kernel[((size_t)tap * channels + c) * s->filters + filter];
  }
  return sum;
}

// The gradients at the places where a channel is negative under a tap.
static float plain_gradient(const Convolution *s, const float *upstream, int tap, int channel, int filter) {
  const int group = (filter / (s->filters / s->groups) + s->turn) % s->groups;
  float sum = 0;
  for (int at = 0; at < s->pictures * s->out_h * s->out_w; ++at) {
    const int picture = at / (s->out_h * s->out_w), y = at / s->out_w % s->out_h, x = at % s->out_w;
    const float factor = under(s, picture, y, x, tap, group * (s->channels / s->groups) + channel) < 0 ? -1 : 1;
    sum += factor * upstream[(size_t)at * s->filters + filter];
  }
  return sum;
}

// Exactly as many bytes as are asked for, so that a sanitizer sees the next one.
static float *numbers(size_t count, int low, int high, bool but_zero) {
  float *made = malloc((count ? count : 1) * sizeof *made);
  for (size_t i = 0; i < count; ++i) {
    const int value = any(low, high);
    made[i] = (float)(but_zero && value == 0 ? 1 : value);
  }
  return made;
}

static bool is_convolution_right(Threads *threads) {
  Convolution s = {.groups = any(1, 3), .pictures = any(1, 5), .h = any(1, 11), .w = any(1, 11)};
  s.turn = any(0, s.groups), s.kernel_h = any(1, 4), s.kernel_w = any(1, 4), s.stride = any(1, 3);
  const bool same = any(0, 1) || s.h < s.kernel_h || s.w < s.kernel_w;
  s.channels = s.groups * any(1, 40), s.filters = s.groups * any(1, 40);
  s.out_h = places(s.h, s.kernel_h, s.stride, same, &s.top), s.out_w = places(s.w, s.kernel_w, s.stride, same, &s.left);
  const int taps = s.kernel_h * s.kernel_w, channels = s.channels / s.groups;
  set_frame(&s);
  s.frames = malloc((size_t)s.pictures * frame_words(&s) * sizeof *s.frames);
  const size_t results = (size_t)s.pictures * s.out_h * s.out_w * s.filters;
  const size_t weights = (size_t)taps * channels * s.filters;
  float *input = numbers((size_t)s.pictures * s.h * s.w * s.channels, -1, 1, false);
  float *kernel = numbers(weights, -1, 1, true), *upstream = numbers(results, -3, 3, false);
  float *output = numbers(results, 0, 0, false), *gradient = numbers(weights, 0, 0, false);
  int16_t *narrow = malloc(results * sizeof *narrow);
  s.input = input, s.kernel = kernel, s.output = output;
  bool right = convolve(&s, threads);
  s.output = narrow, s.is_int16 = true;
  right = convolve(&s, threads) && right;
  for (size_t i = 0; i < results; ++i) {
    const int at = (int)(i / s.filters), pixels = s.out_h * s.out_w;
    right = right && output[i] == plain(&s, at / pixels, at % pixels / s.out_w, at % s.out_w, (int)(i % s.filters));
    right = right && narrow[i] == output[i];
  }
  uint16_t *halves = malloc(results * sizeof *halves);
  for (size_t i = 0; i < results; ++i) memcpy(&halves[i], (const char *)&upstream[i] + 2, 2);
  for (int way = 0; way < 3; ++way) {
    const bool of_bfloat16 = way > 0, by_amx = way == 2;
    if (!has_filter_gradient(of_bfloat16) || (by_amx && !has_amx())) continue;
    const FilterGradient asked = {s, of_bfloat16 ? (const void *)halves : upstream, of_bfloat16, gradient};
    right = right && (by_amx ? filter_gradient_by_amx : filter_gradient)(&asked, threads);
    for (size_t i = 0; i < weights; ++i) {
      const int row = (int)(i / s.filters);
      right =
          right && gradient[i] == plain_gradient(&s, upstream, row / channels, row % channels, (int)(i % s.filters));
    }
  }
  if (!right)
    printf("%d pictures of %dx%dx%d, kernel %dx%d, %d filters in %d groups, turn %d, stride %d: another result\n",
           s.pictures, s.h, s.w, s.channels, s.kernel_h, s.kernel_w, s.filters, s.groups, s.turn, s.stride);
  free(input), free(kernel), free(upstream), free(output), free(narrow), free(s.frames), free(gradient), free(halves);
  return right;
}

// Of the sign's gradient, rows of channels whose signs were rotated.
static bool is_sign_right(Threads *threads) {
  const int rows = any(1, 600), channels = any(1, 90), first = any(0, channels - 1);
  const size_t count = (size_t)rows * channels;
  float *x = numbers(count, -8, 8, false), *upstream = numbers(count, -3, 3, false);
  float *added = numbers(count, -4, 4, false), *result = numbers(count, 0, 0, false);
  uint16_t *halves = malloc(count * sizeof *halves);
  for (size_t i = 0; i < count; ++i) x[i] /= 4, memcpy(&halves[i], (const char *)&upstream[i] + 2, 2);
  bool right = true;
  for (int way = 0; way < 4; ++way) {
    Pass pass = {.x = x, .upstream = way & 1 ? (void *)halves : upstream, .added = way & 2 ? added : NULL};
    pass.result = result, pass.rows = rows, pass.channels = channels, pass.first = first;
    spread(threads, (rows + ROWS_OF_LOT - 1) / ROWS_OF_LOT,
           way & 1 ? pass_sign_gradient_bfloat16 : pass_sign_gradient_float, &pass);
    for (size_t i = 0; i < count; ++i) {
      const int from = ((int)(i % channels) - first + channels) % channels;
      const float slope = fmaxf(2 - 2 * fabsf(x[i]), 0), *base = way & 2 ? &added[i] : NULL;
      right = right && result[i] == (base ? *base : 0) + slope * upstream[i - i % channels + from];
    }
  }
  if (!right) printf("the sign's gradient of %d rows of %d channels from %d: another result\n", rows, channels, first);
  free(x), free(upstream), free(added), free(result), free(halves);
  return right;
}

static bool is_near(double value, double wanted, double scale) { return fabs(value - wanted) <= 1e-4 * (1 + scale); }

// One channel of the end of a unit, of x and dx as floats.
static bool is_channel_right(const Norm *n, const float *x, const float *dx, int64_t channel) {
  const double rows = (double)n->rows, gamma = n->gamma[channel];
  double mean = 0, variance = 0, dbeta = 0, dgamma = 0, dp = 0, dn = 0, dt = 0, sizes = 0, upstreams = 0;
  for (int64_t i = channel; i < n->rows * n->channels; i += n->channels) mean += x[i];
  mean /= rows;
  for (int64_t i = channel; i < n->rows * n->channels; i += n->channels) variance += pow(x[i] - mean, 2) / rows;
  const double inverse = 1 / sqrt(variance + n->epsilon);
  bool right = is_near(n->mean[channel], mean, 4) && is_near(n->variance[channel], variance, 16);
  for (int pass = 0; pass < 2; ++pass) {
    for (int64_t i = channel; i < n->rows * n->channels; i += n->channels) {
      const double h = (x[i] - mean) * inverse, z = gamma * h + n->beta[channel];
      const double slope = z > 0 ? n->p[channel] : n->n[channel], behind = n->upstream[i] * slope;
      if (pass == 0) {
        dbeta += behind, dgamma += behind * h, sizes += fabs(behind) * (1 + fabs(h) + fabs(z));
        *(z > 0 ? &dp : &dn) += n->upstream[i] * z;
        dt += n->upstream[i], upstreams += fabs(n->upstream[i]);
        right = right && is_near(n->y[i], n->shortcut[i] + n->t[channel] + slope * z, fabs(slope * z));
      } else {
        const double wanted = gamma * inverse * (behind - (dbeta + h * dgamma) / rows);
        right = right && is_near(dx[i], wanted, fabs(gamma) * inverse * sizes);
      }
    }
  }
  return right && is_near(n->dbeta[channel], dbeta, sizes) && is_near(n->dgamma[channel], dgamma, sizes) &&
         is_near(n->dp[channel], dp, sizes) && is_near(n->dn[channel], dn, sizes + fabs(dn)) &&
         is_near(n->dt[channel], dt, upstreams);
}

static bool is_end_right(Threads *threads) {
  const int rows = any(1, 400), channels = any(1, 90);
  const size_t count = (size_t)rows * channels;
  float *of_rows[5], *of_channels[12];
  for (int i = 0; i < 5; ++i) of_rows[i] = numbers(count, -4, 4, false);
  for (int i = 0; i < 12; ++i) of_channels[i] = numbers((size_t)channels, -3, 3, false);
  Norm norm = {
      .rows = rows,
      .channels = channels,
      .epsilon = 0.01f,
      .x = of_rows[0],
      .gamma = of_channels[0],
      .beta = of_channels[1],
      .p = of_channels[2],
      .n = of_channels[3],
      .mean = of_channels[4],
      .variance = of_channels[5],
      .shortcut = of_rows[1],
      .y = of_rows[2],
      .upstream = of_rows[3],
      .dx = of_rows[4],
      .dgamma = of_channels[6],
      .dbeta = of_channels[7],
      .dp = of_channels[8],
      .dn = of_channels[9],
      .t = of_channels[10],
      .dt = of_channels[11],
  };
  bool right = normalize(&norm, threads) && normalize_gradient(&norm, threads);
  for (int channel = 0; channel < channels; ++channel)
    right = right && is_channel_right(&norm, of_rows[0], of_rows[4], channel);
  // From whole numbers of 16 bits the same, and its gradient to 8 digits.
  int16_t *narrow = malloc(count * sizeof *narrow);
  uint16_t *halves = malloc(count * sizeof *halves);
  for (size_t i = 0; i < count; ++i) narrow[i] = (int16_t)of_rows[0][i];
  norm.x = narrow, norm.is_int16 = true, norm.dx = halves, norm.is_bfloat16 = true;
  right = normalize(&norm, threads) && normalize_gradient(&norm, threads) && right;
  for (size_t i = 0; i < count; ++i) {
    float found = 0;
    memcpy((char *)&found + 2, &halves[i], 2);
    right = right && fabsf(found - of_rows[4][i]) <= fabsf(of_rows[4][i]) / 256;
  }
  for (int channel = 0; channel < channels; ++channel)
    right = right && is_channel_right(&norm, of_rows[0], of_rows[4], channel);
  if (!right) printf("the end of a unit of %d rows of %d channels: another result\n", rows, channels);
  free(narrow), free(halves);
  for (int i = 0; i < 5; ++i) free(of_rows[i]);
  for (int i = 0; i < 12; ++i) free(of_channels[i]);
  return right;
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  const int first = atoi(arguments[1]), shapes = atoi(arguments[2]);
  Threads *threads = threads_create(2);
  bool all = threads != NULL;
  for (int i = 0; i < shapes && all; ++i) {
    state = (unsigned)(first + i);
    all = is_convolution_right(threads) && is_end_right(threads) && is_sign_right(threads);
  }
  threads_free(threads);
  if (all) printf("%d shapes\n", shapes);
  return !all;
}
