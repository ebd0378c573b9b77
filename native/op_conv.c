#include <stdlib.h>

#include "common.h"
#include "conv.h"
#include "filters.h"
#include "op.h"

void *create_conv(TF_OpKernelConstruction *construction) {
  Options *options = create();
  TF_Status *status = TF_NewStatus();
  unsigned char same = 0;
  TF_OpKernelConstruction_GetAttrBool(construction, "same", &same, status);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  const int stride = number(construction, "stride", 1, MAX_KERNEL);
  const int turn = number(construction, "turn", 0, MAX_CHANNELS);
  if (options) options->stride = stride, options->turn = turn, options->same = same;
  return options;
}

void *create_filter_gradient(TF_OpKernelConstruction *construction) {
  Options *options = create();
  const int stride = number(construction, "stride", 1, MAX_KERNEL);
  const int kernel_h = number(construction, "kernel_h", 1, MAX_KERNEL);
  const int kernel_w = number(construction, "kernel_w", 1, MAX_KERNEL);
  const int channels = number(construction, "channels", 1, MAX_CHANNELS);
  const int groups = number(construction, "groups", 1, MAX_CHANNELS);
  if (options) options->stride = stride, options->kernel_h = kernel_h, options->kernel_w = kernel_w;
  if (options) options->channels = channels, options->groups = groups;
  return options;
}

// Places of a window along a side, and how much of the first is outside.
static int places(int side, int window, const Options *options, int *before) {
  *before = 0;
  if (!options->same) return side < window ? 0 : (side - window) / options->stride + 1;
  const int count = (side + options->stride - 1) / options->stride;
  *before = max_int(0, (count - 1) * options->stride + window - side) / 2;
  return count;
}

// The convolution of maps x with a kernel. Fails where they do not fit.
static Convolution shape_of(Call *call, const Options *options, const TF_Tensor *x, const TF_Tensor *kernel) {
  int64_t of[4] = {0}, window[4] = {0};
  if (!is_fine(call)) return (Convolution){0};
  for (int i = 0; i < 4 && TF_NumDims(x) == 4 && TF_NumDims(kernel) == 4; ++i)
    of[i] = TF_Dim(x, i), window[i] = TF_Dim(kernel, i);
  const int64_t channels = window[2], filters = window[3];
  const bool fits = of[0] >= 0 && of[0] <= 1 << 20 && of[1] >= 0 && of[1] <= MAX_SIDE && of[2] >= 0 &&
                    of[2] <= MAX_SIDE && of[3] >= 1 && of[3] <= MAX_CHANNELS && window[0] >= 1 &&
                    window[0] <= MAX_KERNEL && window[1] >= 1 && window[1] <= MAX_KERNEL && channels >= 1 &&
                    of[3] % channels == 0 && filters <= MAX_CHANNELS && filters % (of[3] / channels) == 0;
  if (!fits || size(x) * 4 > MAX_BYTES * 16 || of[1] * of[2] * of[3] * 4 > MAX_BYTES) {
    fail(call, TF_INVALID_ARGUMENT, "pictures and kernel do not fit each other, or are too large");
    return (Convolution){0};
  }
  Convolution shape = {
      .input = TF_TensorData(x),
      .kernel = TF_TensorData(kernel),
      .pictures = (int)of[0],
      .h = (int)of[1],
      .w = (int)of[2],
      .channels = (int)of[3],
      .kernel_h = (int)window[0],
      .kernel_w = (int)window[1],
      .groups = (int)(of[3] / channels),
      .filters = (int)filters,
      .stride = options->stride,
      .turn = options->turn,
  };
  shape.out_h = places(shape.h, shape.kernel_h, options, &shape.top);
  shape.out_w = places(shape.w, shape.kernel_w, options, &shape.left);
  set_frame(&shape);
  if ((int64_t)shape.out_h * shape.out_w * shape.filters * 4 > MAX_BYTES || frame_words(&shape) * 4 > MAX_BYTES)
    fail(call, TF_INVALID_ARGUMENT, "the result of a picture is too large");
  return shape;
}

void compute_conv(void *kernel, TF_OpKernelContext *context) {
  Call call = {.context = context, .status = TF_NewStatus()};
  const TF_Tensor *x = input(&call, 0), *weights = input(&call, 1);
  Convolution shape = shape_of(&call, kernel, x, weights);
  if (is_fine(&call)) {
    const int64_t sizes[4] = {shape.pictures, shape.out_h, shape.out_w, shape.filters};
    const int64_t of_frames[4] = {shape.pictures, shape.frame_h, shape.frame_w, pixel_words(&shape)};
    const TF_Tensor *y = output(&call, 0, sizes, 4), *signs = output(&call, 1, of_frames, 4);
    shape.is_int16 = is_fine(&call) && TF_TensorType(y) == TF_INT16;
    if (shape.is_int16 && shape.kernel_h * shape.kernel_w * (int64_t)shape.channels / shape.groups > INT16_MAX)
      fail(&call, TF_INVALID_ARGUMENT, "sums are too large for 16 bits");
    if (is_fine(&call) && shape.pictures) {
      shape.output = TF_TensorData(y), shape.frames = TF_TensorData(signs);
      if (!convolve(&shape, op_threads())) fail(&call, TF_RESOURCE_EXHAUSTED, "no memory");
    }
  }
  end(&call);
}

// The convolution that made frames of signs, as far as the gradient of its kernel asks. Fails where they do not fit.
static Convolution framed(Call *call, const Options *options, const TF_Tensor *signs, const TF_Tensor *upstream) {
  int64_t of[4] = {0}, results[4] = {0};
  if (!is_fine(call)) return (Convolution){0};
  for (int i = 0; i < 4 && TF_NumDims(signs) == 4 && TF_NumDims(upstream) == 4; ++i)
    of[i] = TF_Dim(signs, i), results[i] = TF_Dim(upstream, i);
  const int64_t channels = (int64_t)options->channels * options->groups, filters = results[3];
  bool fits = of[0] == results[0] && of[0] <= 1 << 20 && channels <= MAX_CHANNELS && filters >= 1 &&
              filters <= MAX_CHANNELS && filters % options->groups == 0;
  for (int i = 1; i < 3; ++i) fits = fits && of[i] <= 2 * MAX_SIDE && results[i] <= MAX_SIDE;
  if (!fits) {
    fail(call, TF_INVALID_ARGUMENT, "signs and gradients do not fit each other, or are too large");
    return (Convolution){0};
  }
  const Convolution shape = {
      .pictures = (int)of[0],
      .channels = (int)channels,
      .kernel_h = options->kernel_h,
      .kernel_w = options->kernel_w,
      .groups = options->groups,
      .filters = (int)filters,
      .stride = options->stride,
      .out_h = (int)results[1],
      .out_w = (int)results[2],
      .frames = TF_TensorData(signs),
      .frame_h = (int)of[1],
      .frame_w = (int)of[2],
  };
  if (of[3] != pixel_words(&shape) || shape.frame_h < least_frame_h(&shape) || shape.frame_w < least_frame_w(&shape) ||
      shape.frame_h % shape.stride || shape.frame_w % shape.stride)
    fail(call, TF_INVALID_ARGUMENT, "signs and gradients differ in size");
  return shape;
}

void compute_filter_gradient(void *kernel, TF_OpKernelContext *context) {
  Call call = {.context = context, .status = TF_NewStatus()};
  const TF_Tensor *signs = input(&call, 0), *upstream = input(&call, 1);
  const Convolution shape = framed(&call, kernel, signs, upstream);
  const bool is_bfloat16 = is_fine(&call) && TF_TensorType(upstream) == TF_BFLOAT16;
  if (!has_filter_gradient(is_bfloat16)) fail(&call, TF_INVALID_ARGUMENT, "this processor has no AVX-512 for it");
  if (is_fine(&call)) {
    const int64_t sizes[4] = {shape.kernel_h, shape.kernel_w, shape.channels / shape.groups, shape.filters};
    const TF_Tensor *y = output(&call, 0, sizes, 4);
    if (is_fine(&call)) {
      const FilterGradient gradient = {
          .shape = shape, .upstream = TF_TensorData(upstream), .is_bfloat16 = is_bfloat16, .result = TF_TensorData(y)};
      const bool by_amx = is_bfloat16 && has_amx();
      if (!(by_amx ? filter_gradient_by_amx : filter_gradient)(&gradient, op_threads()))
        fail(&call, TF_RESOURCE_EXHAUSTED, "no memory");
    }
  }
  end(&call);
}
