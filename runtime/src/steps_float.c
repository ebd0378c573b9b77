// Convolutions, pools and dense layers of floats.

#include <math.h>

#include "work.h"

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

void window_rows(void *context, int first, int last) {
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
  const bool is_single = w->kernel_h == 1 && w->kernel_w == 1 && w->stride_h == 1 && w->stride_w == 1 &&
                         in->shape.h == out->shape.h && in->shape.w == out->shape.w;
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

void stem_rows(void *context, int first, int last) {
  const Work *work = context;
  const Step *step = work->step;
  const Map *in = step->in, *out = step->out;
  const Window *w = &step->window;
  Stem stem = {
      .input = floats_at(in, 0, 0),
      .height = in->shape.h,
      .width = in->shape.w,
      .channels = in->shape.c,
      .filters = out->shape.c,
      .row = in->row,
      .pitch = in->pitch,
      .kernel_h = w->kernel_h,
      .stride_h = w->stride_h,
      .top = w->top,
      .left = w->left,
      .is_limited = step->activation != kTfLiteActNone,
      .weights = step->weights,
      .bias = step->bias,
      .output = floats_to(out, 0, 0),
      .outputs = out->shape.w,
      .output_row = out->row,
      .output_step = out->pitch,
  };
  float_limits(step->activation, &stem.low, &stem.high);
  work->kernels->stem(&stem, first, last);
}

void dense_filters(void *context, int first, int last) {
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
