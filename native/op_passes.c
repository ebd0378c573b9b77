#include <stdlib.h>

#include "common.h"
#include "op.h"
#include "passes.h"

void *create_float(TF_OpKernelConstruction *construction) {
  (void)construction;
  return create(TF_FLOAT);
}

void *create_bfloat16(TF_OpKernelConstruction *construction) {
  (void)construction;
  return create(TF_BFLOAT16);
}

void *create_rotate(TF_OpKernelConstruction *construction) {
  Options *options = create(TF_FLOAT);
  const int first = number(construction, "first", 0, MAX_CHANNELS);
  if (options) options->first = first;
  return options;
}

static void run(void (*pass)(void *, int, int), Pass *arguments, int lot) {
  threads_run(op_threads(), (int)((arguments->count + lot - 1) / lot), 1, pass, arguments);
}

void compute_negative(void *kernel, TF_OpKernelContext *context) {
  const Options *options = kernel;
  Call call = {.context = context, .status = TF_NewStatus()};
  const TF_Tensor *x = input(&call, 0), *y = output_like(&call, 0, options->type, x);
  if (y) {
    Pass pass = {.x = TF_TensorData(x), .result = TF_TensorData(y), .count = size(x)};
    run(options->type == TF_FLOAT ? pass_negative_float : pass_negative_bfloat16, &pass, VALUES_OF_LOT);
  }
  end(&call);
}

void compute_sign_gradient(void *kernel, TF_OpKernelContext *context) {
  const Options *options = kernel;
  Call call = {.context = context, .status = TF_NewStatus()};
  const TF_Tensor *x = input(&call, 0), *upstream = input(&call, 1);
  if (x && upstream && size(x) != size(upstream)) fail(&call, TF_INVALID_ARGUMENT, "not as many gradients as values");
  const TF_Tensor *y = output_like(&call, 0, TF_FLOAT, x);
  if (y) {
    Pass pass = {
        .x = TF_TensorData(x),
        .upstream = TF_TensorData(upstream),
        .result = TF_TensorData(y),
        .count = size(x),
    };
    run(options->type == TF_FLOAT ? pass_sign_gradient_float : pass_sign_gradient_bfloat16, &pass, VALUES_OF_LOT);
  }
  end(&call);
}

void compute_rotate(void *kernel, TF_OpKernelContext *context) {
  const Options *options = kernel;
  Call call = {.context = context, .status = TF_NewStatus()};
  const TF_Tensor *x = input(&call, 0);
  const int64_t channels = x && TF_NumDims(x) ? TF_Dim(x, TF_NumDims(x) - 1) : 0;
  if (x && (options->first > channels || channels == 0)) fail(&call, TF_INVALID_ARGUMENT, "there is no such channel");
  const TF_Tensor *y = is_fine(&call) ? output_like(&call, 0, TF_FLOAT, x) : NULL;
  if (y) {
    Pass pass = {
        .x = TF_TensorData(x),
        .result = TF_TensorData(y),
        .count = size(x) / channels,
        .channels = channels,
        .first = options->first,
    };
    run(pass_rotate, &pass, ROWS_OF_LOT);
  }
  end(&call);
}

// The inputs x, p and n, with a slope for each channel.
static Pass slopes(Call *call) {
  const TF_Tensor *x = input(call, 0), *p = input(call, 1), *n = input(call, 2);
  Pass pass = {0};
  if (!is_fine(call)) return pass;
  pass.channels = size(p);
  if (TF_NumDims(x) < 1 || pass.channels < 1 || TF_Dim(x, TF_NumDims(x) - 1) != pass.channels ||
      size(n) != pass.channels) {
    fail(call, TF_INVALID_ARGUMENT, "not one slope for each channel");
    return pass;
  }
  pass.x = TF_TensorData(x), pass.p = TF_TensorData(p), pass.n = TF_TensorData(n);
  pass.count = size(x) / pass.channels;
  return pass;
}

void compute_slopes(void *kernel, TF_OpKernelContext *context) {
  (void)kernel;
  Call call = {.context = context, .status = TF_NewStatus()};
  Pass pass = slopes(&call);
  const TF_Tensor *y = is_fine(&call) ? output_like(&call, 0, TF_FLOAT, call.tensors[0]) : NULL;
  if (y) {
    pass.result = TF_TensorData(y);
    run(pass_slopes, &pass, ROWS_OF_LOT);
  }
  end(&call);
}

void compute_slopes_gradient(void *kernel, TF_OpKernelContext *context) {
  (void)kernel;
  Call call = {.context = context, .status = TF_NewStatus()};
  Pass pass = slopes(&call);
  const TF_Tensor *upstream = input(&call, 3);
  if (is_fine(&call) && size(upstream) != size(call.tensors[0]))
    fail(&call, TF_INVALID_ARGUMENT, "not as many gradients as values");
  if (is_fine(&call)) {
    const TF_Tensor *x = output_like(&call, 0, TF_FLOAT, call.tensors[0]);
    const TF_Tensor *p = output_like(&call, 1, TF_FLOAT, call.tensors[1]);
    const TF_Tensor *n = output_like(&call, 2, TF_FLOAT, call.tensors[2]);
    const int64_t lots = (pass.count + ROWS_OF_LOT - 1) / ROWS_OF_LOT, width = 2 * pass.channels;
    pass.sums = calloc((size_t)((lots + 1) * width), sizeof *pass.sums);
    if (!pass.sums) fail(&call, TF_RESOURCE_EXHAUSTED, "no memory");
    if (is_fine(&call)) {
      pass.upstream = TF_TensorData(upstream), pass.result = TF_TensorData(x);
      run(pass_slopes_gradient, &pass, ROWS_OF_LOT);
      for (int64_t lot = 1; lot < lots; ++lot) {
        for (int64_t i = 0; i < width; ++i) pass.sums[i] += pass.sums[lot * width + i];
      }
      float *above = TF_TensorData(p), *below = TF_TensorData(n);
      for (int64_t i = 0; i < pass.channels; ++i)
        above[i] = (float)pass.sums[i], below[i] = (float)pass.sums[pass.channels + i];
    }
    free(pass.sums);
  }
  end(&call);
}
