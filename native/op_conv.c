#include <stdlib.h>

#include "common.h"
#include "conv.h"
#include "filters.h"
#include "op.h"

void *create_conv(TF_OpKernelConstruction *construction) {
  Options *options = create(TF_FLOAT);
  TF_Status *status = TF_NewStatus();
  unsigned char same = 0;
  TF_OpKernelConstruction_GetAttrBool(construction, "same", &same, status);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  const int stride = number(construction, "stride", 1, MAX_KERNEL);
  if (options) options->stride = stride, options->same = same;
  return options;
}

static void *create_filter_gradient(TF_OpKernelConstruction *construction, int type) {
  Options *options = create_conv(construction);
  const int kernel_h = number(construction, "kernel_h", 1, MAX_KERNEL);
  const int kernel_w = number(construction, "kernel_w", 1, MAX_KERNEL);
  const int groups = number(construction, "groups", 1, MAX_CHANNELS);
  if (options)
    options->type = type, options->kernel_h = kernel_h, options->kernel_w = kernel_w, options->groups = groups;
  return options;
}

void *create_filter_gradient_float(TF_OpKernelConstruction *construction) {
  return create_filter_gradient(construction, TF_FLOAT);
}

void *create_filter_gradient_bfloat16(TF_OpKernelConstruction *construction) {
  return create_filter_gradient(construction, TF_BFLOAT16);
}

// Places of a window along a side, and how much of the first is outside.
static int places(int side, int window, const Options *options, int *before) {
  *before = 0;
  if (!options->same) return side < window ? 0 : (side - window) / options->stride + 1;
  const int count = (side + options->stride - 1) / options->stride;
  *before = max_int(0, (count - 1) * options->stride + window - side) / 2;
  return count;
}

// The convolution of maps x, of which each group has `channels`, with `filters` filters. Fails where they do not fit.
static Convolution shape_of(Call *call, const Options *options, const TF_Tensor *x, int64_t kernel_h, int64_t kernel_w,
                            int64_t channels, int64_t filters) {
  int64_t of[4] = {0};
  for (int i = 0; i < 4 && TF_NumDims(x) == 4; ++i) of[i] = TF_Dim(x, i);
  const bool fits = of[0] >= 0 && of[0] <= 1 << 20 && of[1] >= 0 && of[1] <= MAX_SIDE && of[2] >= 0 &&
                    of[2] <= MAX_SIDE && of[3] >= 1 && of[3] <= MAX_CHANNELS && kernel_h >= 1 &&
                    kernel_h <= MAX_KERNEL && kernel_w >= 1 && kernel_w <= MAX_KERNEL && channels >= 1 &&
                    of[3] % channels == 0 && filters <= MAX_CHANNELS && filters % (of[3] / channels) == 0;
  if (!fits || size(x) * 4 > MAX_BYTES * 16 || of[1] * of[2] * of[3] * 4 > MAX_BYTES) {
    fail(call, TF_INVALID_ARGUMENT, "pictures and kernel do not fit each other, or are too large");
    return (Convolution){0};
  }
  Convolution shape = {
      .input = TF_TensorData(x),
      .pictures = (int)of[0],
      .h = (int)of[1],
      .w = (int)of[2],
      .channels = (int)of[3],
      .kernel_h = (int)kernel_h,
      .kernel_w = (int)kernel_w,
      .groups = (int)(of[3] / channels),
      .filters = (int)filters,
      .stride = options->stride,
  };
  shape.out_h = places(shape.h, shape.kernel_h, options, &shape.top);
  shape.out_w = places(shape.w, shape.kernel_w, options, &shape.left);
  return shape;
}

void compute_conv(void *kernel, TF_OpKernelContext *context) {
  const Options *options = kernel;
  Call call = {.context = context, .status = TF_NewStatus()};
  const TF_Tensor *x = input(&call, 0), *weights = input(&call, 1);
  if (weights && TF_NumDims(weights) != 4) fail(&call, TF_INVALID_ARGUMENT, "a kernel has four dimensions");
  if (is_fine(&call)) {
    Convolution shape =
        shape_of(&call, options, x, TF_Dim(weights, 0), TF_Dim(weights, 1), TF_Dim(weights, 2), TF_Dim(weights, 3));
    const int64_t sizes[4] = {shape.pictures, shape.out_h, shape.out_w, shape.filters};
    const TF_Tensor *y = output(&call, 0, TF_FLOAT, sizes, 4);
    if (y && size(y) > 0) {
      shape.kernel = TF_TensorData(weights), shape.output = TF_TensorData(y);
      if (!convolve(&shape, op_threads())) fail(&call, TF_RESOURCE_EXHAUSTED, "no memory");
    }
  }
  end(&call);
}

void compute_filter_gradient(void *kernel, TF_OpKernelContext *context) {
  const Options *options = kernel;
  Call call = {.context = context, .status = TF_NewStatus()};
  const TF_Tensor *x = input(&call, 0), *upstream = input(&call, 1);
  if (is_fine(&call) && (TF_NumDims(x) != 4 || TF_NumDims(upstream) != 4 || TF_Dim(x, 3) % options->groups))
    fail(&call, TF_INVALID_ARGUMENT, "pictures and gradients do not fit the groups");
  if (is_fine(&call)) {
    const int64_t channels = TF_Dim(x, 3) / options->groups, filters = TF_Dim(upstream, 3);
    const Convolution shape = shape_of(&call, options, x, options->kernel_h, options->kernel_w, channels, filters);
    const int64_t of[3] = {shape.pictures, shape.out_h, shape.out_w};
    for (int i = 0; i < 3 && is_fine(&call); ++i) {
      if (TF_Dim(upstream, i) != of[i]) fail(&call, TF_INVALID_ARGUMENT, "gradients and pictures differ in size");
    }
    const bool is_bfloat16 = options->type == TF_BFLOAT16;
    if (!has_filter_gradient(is_bfloat16)) fail(&call, TF_INVALID_ARGUMENT, "this processor has no AVX-512 for it");
    const int64_t sizes[4] = {options->kernel_h, options->kernel_w, channels, filters};
    const TF_Tensor *y = output(&call, 0, TF_FLOAT, sizes, 4);
    if (y && size(y) > 0) {
      const FilterGradient gradient = {
          .shape = shape, .upstream = TF_TensorData(upstream), .is_bfloat16 = is_bfloat16, .result = TF_TensorData(y)};
      const bool by_amx = is_bfloat16 && has_amx();
      if (!(by_amx ? filter_gradient_by_amx : filter_gradient)(&gradient, op_threads()))
        fail(&call, TF_RESOURCE_EXHAUSTED, "no memory");
    }
  }
  end(&call);
}
