#include <stdlib.h>

#include "common.h"
#include "op.h"
#include "passes.h"
#include "spread.h"

void *create_plain(TF_OpKernelConstruction *construction) {
  (void)construction;
  return create();
}

void *create_sign_gradient(TF_OpKernelConstruction *construction) {
  Options *options = create();
  const int first = number(construction, "first", 0, MAX_CHANNELS);
  if (options) options->first = first;
  return options;
}

static Pass pass_of(Call *call, const TF_Tensor *x, const TF_Tensor *result) {
  if (!is_fine(call)) return (Pass){0};
  const int64_t channels = TF_NumDims(x) ? TF_Dim(x, TF_NumDims(x) - 1) : 1;
  return (Pass){
      .x = TF_TensorData(x),
      .result = TF_TensorData(result),
      .rows = channels ? size(x) / channels : 0,
      .channels = channels,
  };
}

static void run(void (*pass)(void *, int, int), Pass *arguments) {
  spread(op_threads(), (int)((arguments->rows + ROWS_OF_LOT - 1) / ROWS_OF_LOT), pass, arguments);
}

void compute_negative(void *kernel, TF_OpKernelContext *context) {
  (void)kernel;
  Call call = {.context = context, .status = TF_NewStatus()};
  const TF_Tensor *x = input(&call, 0), *y = output_like(&call, 0, x);
  Pass pass = pass_of(&call, x, y);
  if (is_fine(&call)) run(TF_TensorType(y) == TF_FLOAT ? pass_negative_float : pass_negative_bfloat16, &pass);
  end(&call);
}

void compute_sign_gradient(void *kernel, TF_OpKernelContext *context) {
  const Options *options = kernel;
  Call call = {.context = context, .status = TF_NewStatus()};
  const TF_Tensor *x = input(&call, 0), *upstream = input(&call, 1);
  const TF_Tensor *added = TF_NumInputs(context) > 2 ? input(&call, 2) : NULL;
  if (is_fine(&call) && (size(x) != size(upstream) || (added && size(x) != size(added))))
    fail(&call, TF_INVALID_ARGUMENT, "not as many gradients as values");
  const TF_Tensor *y = output_like(&call, 0, x);
  Pass pass = pass_of(&call, x, y);
  if (is_fine(&call) && options->first > 0 && options->first >= pass.channels)
    fail(&call, TF_INVALID_ARGUMENT, "there is no such channel");
  if (is_fine(&call)) {
    pass.upstream = TF_TensorData(upstream), pass.added = added ? TF_TensorData(added) : NULL;
    pass.first = options->first;
    run(TF_TensorType(upstream) == TF_FLOAT ? pass_sign_gradient_float : pass_sign_gradient_bfloat16, &pass);
  }
  end(&call);
}
