#include "work.h"

#include <math.h>
#include <string.h>

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
      threads_run(threads, step->out->shape.h, 1, step->is_stem ? stem_rows : window_rows, &work);
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
