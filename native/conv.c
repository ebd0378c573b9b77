#include "conv.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "bconv.h"
#include "zeros.h"

typedef struct {
  const Convolution *shape;
  const Kernels *kernels;
  BConv *convs;             // one a group
  int words, pitch;         // of a group's and of a pixel's signs
  int frame_h, frame_w;     // of a picture with what is outside of it
  _Atomic bool has_failed;  // for want of memory
} Work;

// The signs of a kernel's group: [block of 16 filters][tap][word][16 filters].
static uint32_t *packed(const Convolution *shape, int group, int words) {
  const int filters = shape->filters / shape->groups, channels = shape->channels / shape->groups;
  const int taps = shape->kernel_h * shape->kernel_w, steps = taps * words;
  uint32_t *to = zeros((size_t)round_up(filters, BLOCK) * steps * sizeof *to);
  for (int tap = 0; to && tap < taps; ++tap) {
    for (int channel = 0; channel < channels; ++channel) {
      const float *from = shape->kernel + ((size_t)tap * channels + channel) * shape->filters + group * filters;
      uint32_t *word = to + ((size_t)tap * words + channel / WORD) * BLOCK;
      for (int filter = 0; filter < filters; ++filter)
        word[(size_t)(filter / BLOCK) * steps * BLOCK + filter % BLOCK] |= (uint32_t)(from[filter] < 0)
                                                                           << channel % WORD;
    }
  }
  return to;
}

void pack_frame(const Convolution *shape, const Kernels *kernels, const float *picture, int frame_w, uint32_t *frame) {
  const int channels = shape->channels / shape->groups, words = words_of(channels), pitch = words * shape->groups;
  for (int row = 0; row < shape->h; ++row) {
    uint32_t *signs = frame + ((size_t)(row + shape->top) * frame_w + shape->left) * pitch;
    for (int group = 0; group < shape->groups; ++group)
      kernels->pack(picture + (size_t)row * shape->w * shape->channels + group * channels, shape->channels, channels,
                    shape->w, signs + group * words, pitch);
  }
}

static void some_pictures(void *context, int first, int last) {
  Work *work = context;
  const Convolution *shape = work->shape;
  uint32_t *frame = zeros((size_t)work->frame_h * work->frame_w * work->pitch * sizeof *frame);
  if (!frame) {
    work->has_failed = true;
    return;
  }
  for (int picture = first; picture < last; ++picture) {
    const float *input = shape->input + (size_t)picture * shape->h * shape->w * shape->channels;
    pack_frame(shape, work->kernels, input, work->frame_w, frame);
    for (int group = 0; group < shape->groups; ++group) {
      const BConv *conv = &work->convs[group];
      const BConvIO io = {
          .input = frame + group * work->words,
          .output = shape->output + (size_t)picture * conv->pixels * shape->filters + group * conv->filters,
          .output_pitch = shape->filters,
      };
      work->kernels->bconv(conv, &io, 0, conv->pixels);
    }
  }
  free(frame);
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
      .words = words,
      .pitch = pitch,
      .frame_h = max_int(shape->top + shape->h, (shape->out_h - 1) * shape->stride + shape->kernel_h),
      .frame_w = max_int(shape->left + shape->w, (shape->out_w - 1) * shape->stride + shape->kernel_w),
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
        .weights = packed(shape, group, words),
        .pixels = pixels,
        .input_offset = place,
        .kind = OUT_FLOAT,
        .clamp_max = 2 * shape->kernel_h * shape->kernel_w * channels,
        .multiplier = minus,
        .bias = products,
    };
    is_made = work.convs[group].weights;
  }
  if (is_made) {
    const int row = work.frame_w * pitch;
    for (int run = 0; run < runs; ++run)
      run_offset[run] = joined ? run * row : run / shape->kernel_w * row + run % shape->kernel_w * pitch;
    for (int i = 0; i < pixels; ++i)
      place[i] = i / shape->out_w * shape->stride * row + i % shape->out_w * shape->stride * pitch;
    // A sum is the number of products less twice the number of signs that
    // differ.
    for (int i = 0; i < filters; ++i) minus[i] = -1, products[i] = (float)work.convs[0].products;
    threads_wake(threads);
    threads_run(threads, shape->pictures, 1, some_pictures, &work);
  }
  for (int group = 0; work.convs && group < shape->groups; ++group) free((void *)work.convs[group].weights);
  free(work.convs), free(run_offset), free(place), free(minus), free(products);
  return is_made && !work.has_failed;
}
