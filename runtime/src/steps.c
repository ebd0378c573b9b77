#include "steps.h"

#include <math.h>
#include <string.h>

// What a thread works on.
typedef struct {
  const Step *step;
  const Kernels *kernels;
  const BConv *conv;
  BConvIO io;
} Work;

static const float *floats_at(const Map *map, int y, int x) {
  return (const float *)map->data + map->first + (int64_t)y * map->row + (int64_t)x * map->pitch;
}

static float *floats_to(const Map *map, int y, int x) { return (float *)floats_at(map, y, x); }

static uint32_t *words_at(const Map *map, int y, int x) {
  return (uint32_t *)map->data + map->first + (int64_t)y * map->row + (int64_t)x * map->pitch;
}

static int8_t *bytes_at(const Map *map, int y, int x) {
  return (int8_t *)map->data + map->first + (int64_t)y * map->row + (int64_t)x * map->pitch;
}

// Rows `first` to `last` - 1 of a map that packs, unpacks, copies, adds, ...
static void bconv_pixels(void *context, int first, int last) {
  const Work *work = context;
  work->kernels->bconv(work->conv, &work->io, first, last);
}

static void run_bconv(const Step *step, const Kernels *kernels, Threads *threads) {
  int filter = 0;
  for (int group = 0; group < step->groups; ++group) {
    const BConv *conv = &step->convs[group];
    const Map *in = step->in, *out = step->out, *signs = step->signs;
    Work work = {.step = step, .kernels = kernels, .conv = conv};
    work.io.input = (const uint32_t *)in->data + conv->input_first;
    if (out && out->type == kTfLiteFloat32) work.io.output = floats_to(out, 0, 0) + filter;
    if (out && out->type == kTfLiteInt8) work.io.output8 = bytes_at(out, 0, 0) + filter;
    if (out) work.io.output_pitch = out->pitch;
    if (step->other) work.io.added = floats_at(step->other, 0, 0) + filter, work.io.added_pitch = step->other->pitch;
    if (signs) {
      work.io.signs = (uint32_t *)signs->data + signs->first;
      work.io.signs_offset = step->signs_offset;
      work.io.signs_filter = filter;
    }
    threads_run(threads, conv->pixels, TILE_PIXELS, bconv_pixels, &work);
    filter += conv->filters;
  }
}

static void quantize_rows(void *context, int first, int last) {
  const Work *work = context;
  const Map *in = work->step->in, *out = work->step->out;
  const int channels = in->shape.c;
  for (int y = first; y < last; ++y) {
    if (in->type == kTfLiteFloat32) {
      work->kernels->pack(floats_at(in, y, 0), in->pitch, channels, in->shape.w, words_at(out, y, 0), out->pitch);
      continue;
    }
    for (int x = 0; x < in->shape.w; ++x) {
      const int8_t *values = bytes_at(in, y, x);
      uint32_t *words = words_at(out, y, x);
      memset(words, 0, (size_t)words_of(channels) * sizeof *words);
      for (int c = 0; c < channels; ++c) {
        // False stands for -1.
        const bool negative = in->type == kTfLiteBool ? values[c] == 0 : values[c] < in->zero_point;
        words[c / WORD] |= (uint32_t)negative << c % WORD;
      }
    }
  }
}

static void dequantize_rows(void *context, int first, int last) {
  const Work *work = context;
  const Map *in = work->step->in, *out = work->step->out;
  // 1 and -1 in int8, as far as it holds them.
  const float steps = out->type == kTfLiteInt8 ? roundf(1 / out->scale) : 0;
  const int one = steps > 255 ? 255 : (int)steps;
  for (int y = first; y < last; ++y) {
    for (int x = 0; x < out->shape.w; ++x) {
      const uint32_t *words = words_at(in, y, x);
      for (int c = 0; c < out->shape.c; ++c) {
        const bool negative = words[c / WORD] >> c % WORD & 1;
        if (out->type == kTfLiteFloat32)
          floats_to(out, y, x)[c] = negative ? -1.0f : 1.0f;
        else if (out->type == kTfLiteInt8)
          bytes_at(out, y, x)[c] =
              (int8_t)(negative ? max_int(-128, out->zero_point - one) : min_int(127, out->zero_point + one));
        else
          bytes_at(out, y, x)[c] = !negative;
      }
    }
  }
}

static void copy_rows(void *context, int first, int last) {
  const Work *work = context;
  const Map *in = work->step->in, *out = work->step->out;
  for (int y = first; y < last; ++y) {
    for (int x = 0; x < in->shape.w; ++x)
      // Floats and words are as long as each other.
      memcpy(words_at(out, y, x), words_at(in, y, x), (size_t)in->shape.c * sizeof(uint32_t));
  }
}

static void prelu_rows(void *context, int first, int last) {
  const Work *work = context;
  const Map *in = work->step->in, *out = work->step->out;
  const float *slope = work->step->slope;
  for (int y = first; y < last; ++y) {
    for (int x = 0; x < in->shape.w; ++x) {
      const float *from = floats_at(in, y, x);
      float *to = floats_to(out, y, x);
      for (int c = 0; c < in->shape.c; ++c) to[c] = from[c] < 0 ? from[c] * slope[c] : from[c];
    }
  }
}

static void add_rows(void *context, int first, int last) {
  const Work *work = context;
  const Map *in = work->step->in, *other = work->step->other, *out = work->step->out;
  const float low = work->step->activation == kTfLiteActRelu ? 0 : -INFINITY;
  for (int y = first; y < last; ++y) {
    for (int x = 0; x < in->shape.w; ++x) {
      const float *a = floats_at(in, y, x), *b = floats_at(other, y, x);
      float *to = floats_to(out, y, x);
      for (int c = 0; c < in->shape.c; ++c) {
        const float sum = a[c] + b[c];
        to[c] = sum < low ? low : sum;
      }
    }
  }
}

// The taps of a window at `place` that lie inside of `side`: `first` to `last` - 1.
static void inside(int place, int stride, int before, int dilation, int kernel, int side, int *first, int *last) {
  const int begin = place * stride - before;
  *first = begin < 0 ? (-begin + dilation - 1) / dilation : 0;
  *last = begin >= side ? 0 : min_int(kernel, (side - 1 - begin) / dilation + 1);
}

static void bmaxpool_rows(void *context, int first, int last) {
  const Work *work = context;
  const Map *in = work->step->in, *out = work->step->out;
  const Window *w = &work->step->window;
  for (int y = first; y < last; ++y) {
    int top, bottom;
    inside(y, w->stride_h, w->top, 1, w->kernel_h, in->shape.h, &top, &bottom);
    for (int x = 0; x < out->shape.w; ++x) {
      int left, right;
      inside(x, w->stride_w, w->left, 1, w->kernel_w, in->shape.w, &left, &right);
      uint32_t *to = words_at(out, y, x);
      for (int c = 0; c < out->shape.c; ++c) {
        // The largest is negative where all are.
        uint32_t all = ~(uint32_t)0;
        for (int ky = top; ky < bottom; ++ky) {
          for (int kx = left; kx < right; ++kx)
            all &= words_at(in, y * w->stride_h - w->top + ky, x * w->stride_w - w->left + kx)[c];
        }
        to[c] = all;
      }
    }
  }
}

static void float_limits(TfLiteFusedActivation activation, float *low, float *high) {
  *low = activation == kTfLiteActNone ? -INFINITY : activation == kTfLiteActReluN1To1 ? -1 : 0;
  *high = activation == kTfLiteActReluN1To1 ? 1 : activation == kTfLiteActRelu6 ? 6 : INFINITY;
}

// The places, among `outputs`, whose windows lie inside of the map whole: `first` to `last` - 1.
static void whole_windows(int outputs, int stride, int before, int dilation, int kernel, int side, int *first,
                          int *last) {
  const int room = side - 1 - (kernel - 1) * dilation + before;
  *first = min_int(outputs, (before + stride - 1) / stride);
  *last = room < 0 ? *first : max_int(*first, min_int(outputs, room / stride + 1));
}

static void window_rows(void *context, int first, int last) {
  const Work *work = context;
  const Step *step = work->step;
  const Kernels *kernels = work->kernels;
  const Map *in = step->in, *out = step->out;
  const Window *w = &step->window;
  const WindowKernel kernel = step->kind == NODE_CONV        ? kernels->conv
                              : step->kind == NODE_DEPTHWISE ? kernels->depthwise
                              : step->kind == NODE_AVERAGE   ? kernels->average
                                                             : kernels->max;
  int first_whole, last_whole;
  whole_windows(out->shape.w, w->stride_w, w->left, w->dilation_w, w->kernel_w, in->shape.w, &first_whole, &last_whole);
  FloatWindows windows = {
      .row = (int64_t)in->row * w->dilation_h,
      .pitch = (int64_t)in->pitch * w->dilation_w,
      .kernel_w = w->kernel_w,
      .taps = w->kernel_h * w->kernel_w,
      .channels = in->shape.c,
      .filters = out->shape.c,
      .weights = step->weights,
      .bias = step->bias,
      .input_step = (int64_t)in->pitch * w->stride_w,
      .output_step = out->pitch,
  };
  windows.is_limited = step->activation != kTfLiteActNone;
  float_limits(step->activation, &windows.low, &windows.high);
  // Where a pixel reads the same pixel alone, rows without anything between are one.
  const bool is_single =
      w->kernel_h == 1 && w->kernel_w == 1 && in->shape.h == out->shape.h && in->shape.w == out->shape.w;
  if (is_single && in->row == in->shape.w * in->pitch && out->row == out->shape.w * out->pitch) {
    windows.rows = windows.columns = 1;
    windows.input = floats_at(in, first, 0);
    windows.output = floats_to(out, first, 0);
    windows.pixels = (last - first) * out->shape.w;
    kernel(&windows);
    return;
  }
  for (int y = first; y < last; ++y) {
    int top, bottom;
    inside(y, w->stride_h, w->top, w->dilation_h, w->kernel_h, in->shape.h, &top, &bottom);
    windows.rows = max_int(0, bottom - top);
    for (int x = 0; x < out->shape.w; x += windows.pixels) {
      int left, right;
      inside(x, w->stride_w, w->left, w->dilation_w, w->kernel_w, in->shape.w, &left, &right);
      windows.columns = max_int(0, right - left);
      windows.first_tap = top * w->kernel_w + left;
      windows.input = (const float *)in->data + in->first +
                      (int64_t)(y * w->stride_h - w->top + top * w->dilation_h) * in->row +
                      (int64_t)(x * w->stride_w - w->left + left * w->dilation_w) * in->pitch;
      windows.output = floats_to(out, y, x);
      windows.pixels = x >= first_whole && x < last_whole ? last_whole - x : 1;
      kernel(&windows);
    }
  }
}

static void dense_filters(void *context, int first, int last) {
  const Work *work = context;
  const Step *step = work->step;
  Dense dense = {
      .input = floats_at(step->in, 0, 0),
      .channels = step->in->shape.c,
      .filters = step->out->shape.c,
      .weights = step->bytes,
      .scale = step->scale,
      .bias = step->bias,
      .is_limited = step->activation != kTfLiteActNone,
      .output = floats_to(step->out, 0, 0),
  };
  float_limits(step->activation, &dense.low, &dense.high);
  work->kernels->dense(&dense, first, last);
}

void step_run(const Step *step, const Kernels *kernels, Threads *threads) {
  Work work = {.step = step, .kernels = kernels};
  if (step->copies) {
    threads_run(threads, step->in->shape.h, 1, copy_rows, &work);
    return;
  }
  switch (step->kind) {
    case NODE_BCONV:
      run_bconv(step, kernels, threads);
      break;
    case NODE_QUANTIZE:
      threads_run(threads, step->in->shape.h, 1, quantize_rows, &work);
      break;
    case NODE_DEQUANTIZE:
      threads_run(threads, step->out->shape.h, 1, dequantize_rows, &work);
      break;
    case NODE_BMAXPOOL:
      threads_run(threads, step->out->shape.h, 1, bmaxpool_rows, &work);
      break;
    case NODE_PRELU:
      threads_run(threads, step->in->shape.h, 1, prelu_rows, &work);
      break;
    case NODE_ADD:
      threads_run(threads, step->in->shape.h, 1, add_rows, &work);
      break;
    case NODE_DEPTHWISE:
    case NODE_CONV:
    case NODE_AVERAGE:
    case NODE_MAX:
      threads_run(threads, step->out->shape.h, 1, window_rows, &work);
      break;
    case NODE_DENSE:
      threads_run(threads, step->out->shape.c, 4 * BLOCK, dense_filters, &work);
      break;
    case NODE_CONSTANT:
    case NODE_CONCATENATION:
    case NODE_SPLIT:
    case NODE_SLICE:
      break;  // constants, views and copies
  }
}
