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
