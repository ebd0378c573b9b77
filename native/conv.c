#include "conv.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "bconv.h"
#include "passes.h"
#include "spread.h"
#include "zeros.h"

typedef struct {
  const Convolution *shape;
  const Kernels *kernels;
  BConv *convs;             // one a group
  _Atomic bool has_failed;  // for want of memory
} Work;

// The signs of a kernel's group: [block of 16 filters][tap][word][16 filters].
static uint32_t *packed(const Convolution *shape, int group) {
  const int filters = shape->filters / shape->groups, channels = shape->channels / shape->groups;
  const int words = words_of(channels), taps = shape->kernel_h * shape->kernel_w, steps = taps * words;
  uint32_t *to = zeros((size_t)round_up(filters, BLOCK) * steps * sizeof *to);
  for (int tap = 0; to && tap < taps; ++tap) {
    for (int channel = 0; channel < channels; ++channel) {
      const float *from = shape->kernel + ((size_t)tap * channels + channel) * shape->filters + group * filters;
      uint32_t *word = to + ((size_t)tap * words + channel / WORD) * BLOCK;
      for (int first = 0; first < filters; first += BLOCK, word += (size_t)steps * BLOCK) {
        const int count = min_int(BLOCK, filters - first);
        for (int i = 0; i < count; ++i) word[i] |= (uint32_t)(from[first + i] < 0) << channel % WORD;
      }
    }
  }
  return to;
}

static void some_kernels(void *context, int first, int last) {
  Work *work = context;
  for (int group = first; group < last; ++group)
    if (!(work->convs[group].weights = packed(work->shape, group))) work->has_failed = true;
}

// Writes the signs of a picture, group by group.
static void pack_frame(const Work *work, const float *picture, uint32_t *frame) {
  const Convolution *shape = work->shape;
  const int channels = shape->channels / shape->groups, words = words_of(channels), pitch = words * shape->groups;
  memset(frame, 0, (size_t)frame_words(shape) * sizeof *frame);
  for (int row = 0; row < shape->h; ++row) {
    uint32_t *signs = frame + ((size_t)(row + shape->top) * shape->frame_w + shape->left) * pitch;
    for (int group = 0; group < shape->groups; ++group) {
      const int from = (group + shape->turn) % shape->groups * channels;
      work->kernels->pack(picture + (size_t)row * shape->w * shape->channels + from, shape->channels, channels,
                          shape->w, signs + group * words, pitch);
    }
  }
}

static void some_pictures(void *context, int first, int last) {
  Work *work = context;
  const Convolution *shape = work->shape;
  const int values = shape->out_h * shape->out_w * shape->filters;
  // A picture's sums stay in the processor's cache until they are narrowed.
  float *scratch = zeros((size_t)(shape->is_int16 ? values : 0) * sizeof *scratch);
  if (!scratch) {
    work->has_failed = true;
    last = first;
  }
  for (int picture = first; picture < last; ++picture) {
    const float *input = shape->input + (size_t)picture * shape->h * shape->w * shape->channels;
    float *sums = shape->is_int16 ? scratch : (float *)shape->output + (size_t)picture * values;
    uint32_t *frame = shape->frames + picture * frame_words(shape);
    pack_frame(work, input, frame);
    for (int group = 0; group < shape->groups; ++group) {
      const BConv *conv = &work->convs[group];
      const BConvIO io = {
          .input = frame + group * words_of(shape->channels / shape->groups),
          .output = sums + group * conv->filters,
          .output_pitch = shape->filters,
      };
      work->kernels->bconv(conv, &io, 0, conv->pixels);
    }
    if (shape->is_int16) narrow(&(Narrowed){sums, (int16_t *)shape->output + (size_t)picture * values}, 0, values);
  }
  free(scratch);
}

bool convolve(const Convolution *shape, Threads *threads) {
  const int filters = shape->filters / shape->groups, channels = shape->channels / shape->groups;
  const int words = words_of(channels), pitch = words * shape->groups, pixels = shape->out_h * shape->out_w;
  const bool joined = shape->groups == 1;
  const int runs = joined ? shape->kernel_h : shape->kernel_h * shape->kernel_w;
  Work work = {
      .shape = shape,
      .kernels = kernels_choose(NULL),
      .convs = calloc((size_t)shape->groups, sizeof *work.convs),
  };
  int32_t *run_offset = zeros((size_t)runs * sizeof *run_offset), *place = zeros((size_t)pixels * sizeof *place);
  float *minus = zeros((size_t)round_up(filters, BLOCK) * sizeof *minus);
  float *products = zeros((size_t)round_up(filters, BLOCK) * sizeof *products);
  bool is_made = work.convs && run_offset && place && minus && products;
  for (int group = 0; is_made && group < shape->groups; ++group) {
    work.convs[group] = (BConv){
        .filters = filters,
        .products = shape->kernel_h * shape->kernel_w * channels,
        .runs = runs,
        .run_words = joined ? words * shape->kernel_w : words,
        .run_offset = run_offset,
        .pixels = pixels,
        .input_offset = place,
        .kind = OUT_FLOAT,
        .clamp_max = 2 * shape->kernel_h * shape->kernel_w * channels,
        .multiplier = minus,
        .bias = products,
    };
  }
  if (is_made) {
    const int row = shape->frame_w * pitch;
    for (int run = 0; run < runs; ++run)
      run_offset[run] = joined ? run * row : run / shape->kernel_w * row + run % shape->kernel_w * pitch;
    for (int i = 0; i < pixels; ++i)
      place[i] = i / shape->out_w * shape->stride * row + i % shape->out_w * shape->stride * pitch;
    // A sum is the number of products less twice the number of signs that differ.
    for (int i = 0; i < filters; ++i) minus[i] = -1, products[i] = (float)work.convs[0].products;
    spread(threads, shape->groups, some_kernels, &work);
    if (!work.has_failed) spread(threads, shape->pictures, some_pictures, &work);
  }
  for (int group = 0; work.convs && group < shape->groups; ++group) free((void *)work.convs[group].weights);
  free(work.convs), free(run_offset), free(place), free(minus), free(products);
  return is_made && !work.has_failed;
}
