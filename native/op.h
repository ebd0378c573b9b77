// What the operators share: one call, its tensors, its threads.

#ifndef FTBNN_OP_H
#define FTBNN_OP_H

#include <stdbool.h>

#include "tensorflow.h"
#include "threads.h"

enum { MOST_TENSORS = 16, MOST_DIMENSIONS = 8 };

// What an operator was made with.
typedef struct {
  int stride, turn, first, kernel_h, kernel_w, channels, groups;
  bool same;
  float epsilon;
} Options;

// One call of an operator.
typedef struct {
  TF_OpKernelContext *context;
  TF_Status *status;
  TF_Tensor *tensors[MOST_TENSORS];
  int count;
} Call;

void fail(Call *call, int code, const char *message);
bool is_fine(const Call *call);

// NULL after a failure.
TF_Tensor *input(Call *call, int index);
TF_Tensor *output(Call *call, int index, const int64_t *sizes, int dimensions);
TF_Tensor *output_like(Call *call, int index, const TF_Tensor *other);

// Tells a failure, and frees what the call took.
void end(Call *call);

int64_t size(const TF_Tensor *tensor);

// The threads that work, one unless more were asked for.
Threads *op_threads(void);

Options *create(void);

// A whole number that an operator was made with. Outside of these limits it is refused.
int number(TF_OpKernelConstruction *construction, const char *name, int low, int high);

// op_conv.c
void *create_conv(TF_OpKernelConstruction *construction);
void *create_filter_gradient(TF_OpKernelConstruction *construction);
void compute_conv(void *kernel, TF_OpKernelContext *context);
void compute_filter_gradient(void *kernel, TF_OpKernelContext *context);

// op_passes.c
void *create_plain(TF_OpKernelConstruction *construction);
void *create_sign_gradient(TF_OpKernelConstruction *construction);
void compute_negative(void *kernel, TF_OpKernelContext *context);
void compute_sign_gradient(void *kernel, TF_OpKernelContext *context);

// op_norm.c
void *create_norm(TF_OpKernelConstruction *construction);
void compute_norm(void *kernel, TF_OpKernelContext *context);
void compute_norm_gradient(void *kernel, TF_OpKernelContext *context);

#endif
