// Convolutions of random shapes and the gradients of their kernels beside plain loops, to run with sanitizers.
// check SEED COUNT
//
// Whole numbers, so that sums in any order are the same.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filters.h"

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
  const int channels = s->channels / s->groups, group = filter / (s->filters / s->groups);
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
  const int group = filter / (s->filters / s->groups);
  float sum = 0;
  for (int at = 0; at < s->pictures * s->out_h * s->out_w; ++at) {
    const int picture = at / (s->out_h * s->out_w), y = at / s->out_w % s->out_h, x = at % s->out_w;
    if (under(s, picture, y, x, tap, group * (s->channels / s->groups) + channel) < 0)
      sum += upstream[(size_t)at * s->filters + filter];
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

static bool is_right(Threads *threads) {
  Convolution s = {.groups = any(1, 3), .pictures = any(1, 5), .h = any(1, 11), .w = any(1, 11)};
  s.kernel_h = any(1, 4), s.kernel_w = any(1, 4), s.stride = any(1, 3);
  const bool same = any(0, 1) || s.h < s.kernel_h || s.w < s.kernel_w;
  s.channels = s.groups * any(1, 40), s.filters = s.groups * any(1, 40);
  s.out_h = places(s.h, s.kernel_h, s.stride, same, &s.top), s.out_w = places(s.w, s.kernel_w, s.stride, same, &s.left);
  const int taps = s.kernel_h * s.kernel_w, channels = s.channels / s.groups;
  const size_t results = (size_t)s.pictures * s.out_h * s.out_w * s.filters;
  const size_t weights = (size_t)taps * channels * s.filters;
  float *input = numbers((size_t)s.pictures * s.h * s.w * s.channels, -1, 1, false);
  float *kernel = numbers(weights, -1, 1, true), *upstream = numbers(results, -3, 3, false);
  float *output = numbers(results, 0, 0, false), *gradient = numbers(weights, 0, 0, false);
  s.input = input, s.kernel = kernel, s.output = output;
  bool right = convolve(&s, threads);
  for (size_t i = 0; i < results; ++i) {
    const int at = (int)(i / s.filters), pixels = s.out_h * s.out_w;
    right = right && output[i] == plain(&s, at / pixels, at % pixels / s.out_w, at % s.out_w, (int)(i % s.filters));
  }
  uint16_t *halves = malloc(results * sizeof *halves);
  for (size_t i = 0; i < results; ++i) memcpy(&halves[i], (const char *)&upstream[i] + 2, 2);
  for (int of_bfloat16 = 0; of_bfloat16 < 2; ++of_bfloat16) {
    if (!has_filter_gradient(of_bfloat16)) continue;
    const FilterGradient asked = {s, of_bfloat16 ? (const void *)halves : upstream, of_bfloat16, gradient};
    right = right && filter_gradient(&asked, threads);
    for (size_t i = 0; i < weights; ++i) {
      const int row = (int)(i / s.filters);
      right =
          right && gradient[i] == plain_gradient(&s, upstream, row / channels, row % channels, (int)(i % s.filters));
    }
  }
  if (!right)
    printf("%d pictures of %dx%dx%d, kernel %dx%d, %d filters in %d groups, stride %d: another result\n", s.pictures,
           s.h, s.w, s.channels, s.kernel_h, s.kernel_w, s.filters, s.groups, s.stride);
  free(input), free(kernel), free(upstream), free(output), free(gradient), free(halves);
  return right;
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  const int first = atoi(arguments[1]), shapes = atoi(arguments[2]);
  Threads *threads = threads_create(2);
  bool all = threads != NULL;
  for (int i = 0; i < shapes && all; ++i) {
    state = (unsigned)(first + i);
    all = is_right(threads);
  }
  threads_free(threads);
  if (all) printf("%d shapes\n", shapes);
  return !all;
}
