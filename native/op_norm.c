#include <stdlib.h>

#include "common.h"
#include "norm.h"
#include "op.h"

void *create_norm(TF_OpKernelConstruction *construction) {
  Options *options = create();
  TF_Status *status = TF_NewStatus();
  float epsilon = 0;
  TF_OpKernelConstruction_GetAttrFloat(construction, "epsilon", &epsilon, status);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  if (options) options->epsilon = epsilon;
  return options;
}

// The inputs: x, another of its shape, then `vectors` of one number for each channel.
static Norm norm_of(Call *call, const Options *options, int vectors, const float **of_channels) {
  const TF_Tensor *x = input(call, 0), *other = input(call, 1);
  Norm norm = {.epsilon = options->epsilon};
  if (!is_fine(call)) return norm;
  norm.channels = TF_NumDims(x) ? TF_Dim(x, TF_NumDims(x) - 1) : 0;
  if (norm.channels < 1 || norm.channels > MAX_CHANNELS) fail(call, TF_INVALID_ARGUMENT, "no channels, or too many");
  if (is_fine(call) && (TF_NumDims(other) != TF_NumDims(x) || size(other) != size(x)))
    fail(call, TF_INVALID_ARGUMENT, "two inputs are not of one shape");
  for (int i = 0; i < vectors && is_fine(call); ++i) {
    const TF_Tensor *vector = input(call, 2 + i);
    if (vector && size(vector) != norm.channels) fail(call, TF_INVALID_ARGUMENT, "not one number for each channel");
    if (is_fine(call)) of_channels[i] = TF_TensorData(vector);
  }
  if (!is_fine(call)) return norm;
  norm.rows = size(x) / norm.channels, norm.x = TF_TensorData(x), norm.is_int16 = TF_TensorType(x) == TF_INT16;
  norm.gamma = of_channels[0], norm.beta = of_channels[1], norm.p = of_channels[2], norm.n = of_channels[3];
  norm.t = of_channels[4];
  return norm;
}

void compute_norm(void *kernel, TF_OpKernelContext *context) {
  Call call = {.context = context, .status = TF_NewStatus()};
  const float *of_channels[5];
  Norm norm = norm_of(&call, kernel, 5, of_channels);
  const TF_Tensor *y = is_fine(&call) ? output_like(&call, 0, call.tensors[0]) : NULL;
  const TF_Tensor *mean = output(&call, 1, &norm.channels, 1);
  const TF_Tensor *variance = output(&call, 2, &norm.channels, 1);
  if (is_fine(&call)) {
    norm.shortcut = TF_TensorData(call.tensors[1]), norm.y = TF_TensorData(y);
    norm.mean = TF_TensorData(mean), norm.variance = TF_TensorData(variance);
    if (!normalize(&norm, op_threads())) fail(&call, TF_RESOURCE_EXHAUSTED, "no memory");
  }
  end(&call);
}

void compute_norm_gradient(void *kernel, TF_OpKernelContext *context) {
  Call call = {.context = context, .status = TF_NewStatus()};
  const float *of_channels[7];
  Norm norm = norm_of(&call, kernel, 7, of_channels);
  const TF_Tensor *dx = is_fine(&call) ? output_like(&call, 0, call.tensors[0]) : NULL;
  float *gradients[5] = {0};
  for (int i = 0; i < 5; ++i) {
    const TF_Tensor *gradient = output(&call, 1 + i, &norm.channels, 1);
    if (gradient) gradients[i] = TF_TensorData(gradient);
  }
  if (is_fine(&call)) {
    norm.upstream = TF_TensorData(call.tensors[1]), norm.dx = TF_TensorData(dx);
    norm.is_bfloat16 = TF_TensorType(dx) == TF_BFLOAT16;
    norm.mean = (float *)of_channels[5], norm.variance = (float *)of_channels[6];
    norm.dgamma = gradients[0], norm.dbeta = gradients[1], norm.dp = gradients[2], norm.dn = gradients[3];
    norm.dt = gradients[4];
    if (!normalize_gradient(&norm, op_threads())) fail(&call, TF_RESOURCE_EXHAUSTED, "no memory");
  }
  end(&call);
}
