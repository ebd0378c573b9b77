#include "op.h"

#include <stdlib.h>

#include "common.h"

static Threads *threads;

// How many threads work. The first call counts.
__attribute__((visibility("default"))) void ftbnn_use_threads(int count);
void ftbnn_use_threads(int count) {
  if (!threads) threads = threads_create(max_int(1, count));
}

Threads *op_threads(void) {
  ftbnn_use_threads(1);
  return threads;
}

void fail(Call *call, int code, const char *message) {
  if (TF_GetCode(call->status) == TF_OK) TF_SetStatus(call->status, code, message);
}

bool is_fine(const Call *call) { return TF_GetCode(call->status) == TF_OK; }

TF_Tensor *input(Call *call, int index) {
  TF_Tensor *tensor = NULL;
  TF_GetInput(call->context, index, &tensor, call->status);
  if (tensor) call->tensors[call->count++] = tensor;
  if (tensor && TF_NumDims(tensor) > MOST_DIMENSIONS) fail(call, TF_INVALID_ARGUMENT, "too many dimensions");
  return is_fine(call) ? tensor : NULL;
}

TF_Tensor *output(Call *call, int index, const int64_t *sizes, int dimensions) {
  if (!is_fine(call)) return NULL;
  const int type = TF_ExpectedOutputDataType(call->context, index);
  size_t bytes = type == TF_INT16 || type == TF_BFLOAT16 ? 2 : 4;
  for (int i = 0; i < dimensions; ++i) bytes *= (size_t)sizes[i];
  TF_Tensor *tensor = TF_AllocateOutput(call->context, index, type, sizes, dimensions, bytes, call->status);
  if (tensor) call->tensors[call->count++] = tensor;
  return is_fine(call) ? tensor : NULL;
}

TF_Tensor *output_like(Call *call, int index, const TF_Tensor *other) {
  int64_t sizes[MOST_DIMENSIONS];
  if (!other) return NULL;
  for (int i = 0; i < TF_NumDims(other); ++i) sizes[i] = TF_Dim(other, i);
  return output(call, index, sizes, TF_NumDims(other));
}

void end(Call *call) {
  if (!is_fine(call)) TF_OpKernelContext_Failure(call->context, call->status);
  for (int i = 0; i < call->count; ++i) TF_DeleteTensor(call->tensors[i]);
  TF_DeleteStatus(call->status);
}

int64_t size(const TF_Tensor *tensor) {
  int64_t count = 1;
  for (int i = 0; i < TF_NumDims(tensor); ++i) count *= TF_Dim(tensor, i);
  return count;
}

Options *create(void) { return calloc(1, sizeof(Options)); }

int number(TF_OpKernelConstruction *construction, const char *name, int low, int high) {
  TF_Status *status = TF_NewStatus();
  int32_t value = low;
  TF_OpKernelConstruction_GetAttrInt32(construction, name, &value, status);
  if (TF_GetCode(status) == TF_OK && (value < low || value > high))
    TF_SetStatus(status, TF_INVALID_ARGUMENT, "a number of the operator is out of range");
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  return value < low ? low : value > high ? high : value;
}
