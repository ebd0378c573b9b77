// The operators of a training step, for TensorFlow on CPUs. Python gives them
// what fits (ftbnn_larq/models/native.py); what would lead out of a tensor is
// refused here too.

#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "conv.h"
#include "passes.h"
#include "tensorflow.h"

enum { MOST_TENSORS = 8, MOST_DIMENSIONS = 8 };

static Threads *threads;

// How many threads work. The first call counts.
__attribute__((visibility("default"))) void ftbnn_use_threads(int count);
void ftbnn_use_threads(int count) {
  if (!threads) threads = threads_create(max_int(1, count));
}

// What an operator was made with.
typedef struct {
  int type, stride, first;
  bool same;
} Options;

// One call of an operator.
typedef struct {
  TF_OpKernelContext *context;
  TF_Status *status;
  TF_Tensor *tensors[MOST_TENSORS];
  int count;
} Call;

static void fail(Call *call, int code, const char *message) {
  if (TF_GetCode(call->status) == TF_OK) TF_SetStatus(call->status, code, message);
}

static bool is_fine(const Call *call) { return TF_GetCode(call->status) == TF_OK; }

static TF_Tensor *input(Call *call, int index) {
  TF_Tensor *tensor = NULL;
  TF_GetInput(call->context, index, &tensor, call->status);
  if (tensor) call->tensors[call->count++] = tensor;
  if (tensor && TF_NumDims(tensor) > MOST_DIMENSIONS) fail(call, TF_INVALID_ARGUMENT, "too many dimensions");
  return is_fine(call) ? tensor : NULL;
}

static TF_Tensor *output(Call *call, int index, int type, const int64_t *sizes, int dimensions) {
  if (!is_fine(call)) return NULL;
  size_t bytes = type == TF_FLOAT ? 4 : 2;
  for (int i = 0; i < dimensions; ++i) bytes *= (size_t)sizes[i];
  TF_Tensor *tensor = TF_AllocateOutput(call->context, index, type, sizes, dimensions, bytes, call->status);
  if (tensor) call->tensors[call->count++] = tensor;
  return is_fine(call) ? tensor : NULL;
}

static TF_Tensor *output_like(Call *call, int index, int type, const TF_Tensor *other) {
  int64_t sizes[MOST_DIMENSIONS];
  if (!other) return NULL;
  for (int i = 0; i < TF_NumDims(other); ++i) sizes[i] = TF_Dim(other, i);
  return output(call, index, type, sizes, TF_NumDims(other));
}

static void end(Call *call) {
  if (!is_fine(call)) TF_OpKernelContext_Failure(call->context, call->status);
  for (int i = 0; i < call->count; ++i) TF_DeleteTensor(call->tensors[i]);
  TF_DeleteStatus(call->status);
}

static int64_t size(const TF_Tensor *tensor) {
  int64_t count = 1;
  for (int i = 0; i < TF_NumDims(tensor); ++i) count *= TF_Dim(tensor, i);
  return count;
}

static void run(void (*pass)(void *, int, int), Pass *arguments, int lot) {
  ftbnn_use_threads(1);
  threads_wake(threads);
  threads_run(threads, (int)((arguments->count + lot - 1) / lot), 1, pass, arguments);
}

static void *create(TF_OpKernelConstruction *construction, int type) {
  (void)construction;
  Options *options = calloc(1, sizeof *options);
  if (options) options->type = type;
  return options;
}

static void *create_float(TF_OpKernelConstruction *construction) { return create(construction, TF_FLOAT); }

static void *create_bfloat16(TF_OpKernelConstruction *construction) { return create(construction, TF_BFLOAT16); }

static void *create_conv(TF_OpKernelConstruction *construction) {
  Options *options = create(construction, TF_FLOAT);
  TF_Status *status = TF_NewStatus();
  unsigned char same = 0;
  int32_t stride = 0;
  TF_OpKernelConstruction_GetAttrInt32(construction, "stride", &stride, status);
  if (TF_GetCode(status) == TF_OK) TF_OpKernelConstruction_GetAttrBool(construction, "same", &same, status);
  if (TF_GetCode(status) == TF_OK && (stride < 1 || stride > MAX_KERNEL))
    TF_SetStatus(status, TF_INVALID_ARGUMENT, "the stride does not fit");
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  if (options) options->stride = stride, options->same = same;
  TF_DeleteStatus(status);
  return options;
}

static void *create_rotate(TF_OpKernelConstruction *construction) {
  Options *options = create(construction, TF_FLOAT);
  TF_Status *status = TF_NewStatus();
  int32_t first = 0;
  TF_OpKernelConstruction_GetAttrInt32(construction, "first", &first, status);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  if (options) options->first = first;
  TF_DeleteStatus(status);
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

static void compute_conv(void *kernel, TF_OpKernelContext *context) {
  const Options *options = kernel;
  Call call = {.context = context, .status = TF_NewStatus()};
  const TF_Tensor *x = input(&call, 0), *weights = input(&call, 1);
  if (x && weights && (TF_NumDims(x) != 4 || TF_NumDims(weights) != 4))
    fail(&call, TF_INVALID_ARGUMENT, "pictures and kernel have four dimensions");
  if (is_fine(&call)) {
    int64_t of[8];
    for (int i = 0; i < 4; ++i) of[i] = TF_Dim(x, i), of[4 + i] = TF_Dim(weights, i);
    const bool fits = of[0] <= 1 << 20 && of[1] <= MAX_SIDE && of[2] <= MAX_SIDE && of[3] <= MAX_CHANNELS &&
                      of[4] >= 1 && of[4] <= MAX_KERNEL && of[5] >= 1 && of[5] <= MAX_KERNEL && of[6] >= 1 &&
                      of[7] <= MAX_CHANNELS && of[3] % of[6] == 0 && of[3] >= 1 && of[7] % (of[3] / of[6]) == 0;
    if (!fits || size(x) * 4 > MAX_BYTES * 16 || of[1] * of[2] * of[3] * 4 > MAX_BYTES) {
      fail(&call, TF_INVALID_ARGUMENT, "pictures and kernel do not fit each other, or are too large");
    } else {
      Convolution shape = {
          .input = TF_TensorData(x),
          .kernel = TF_TensorData(weights),
          .pictures = (int)of[0],
          .h = (int)of[1],
          .w = (int)of[2],
          .channels = (int)of[3],
          .kernel_h = (int)of[4],
          .kernel_w = (int)of[5],
          .groups = (int)(of[3] / of[6]),
          .filters = (int)of[7],
          .stride = options->stride,
      };
      shape.out_h = places(shape.h, shape.kernel_h, options, &shape.top);
      shape.out_w = places(shape.w, shape.kernel_w, options, &shape.left);
      const int64_t sizes[4] = {of[0], shape.out_h, shape.out_w, of[7]};
      const TF_Tensor *y = output(&call, 0, TF_FLOAT, sizes, 4);
      ftbnn_use_threads(1);
      if (y && size(y) > 0) {
        shape.output = TF_TensorData(y);
        if (!convolve(&shape, threads)) fail(&call, TF_RESOURCE_EXHAUSTED, "no memory");
      }
    }
  }
  end(&call);
}

static void compute_negative(void *kernel, TF_OpKernelContext *context) {
  const Options *options = kernel;
  Call call = {.context = context, .status = TF_NewStatus()};
  const TF_Tensor *x = input(&call, 0), *y = output_like(&call, 0, options->type, x);
  if (y) {
    Pass pass = {.x = TF_TensorData(x), .result = TF_TensorData(y), .count = size(x)};
    run(options->type == TF_FLOAT ? pass_negative_float : pass_negative_bfloat16, &pass, VALUES_OF_LOT);
  }
  end(&call);
}

static void compute_sign_gradient(void *kernel, TF_OpKernelContext *context) {
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

static void compute_rotate(void *kernel, TF_OpKernelContext *context) {
  const Options *options = kernel;
  Call call = {.context = context, .status = TF_NewStatus()};
  const TF_Tensor *x = input(&call, 0);
  const int64_t channels = x && TF_NumDims(x) ? TF_Dim(x, TF_NumDims(x) - 1) : 0;
  if (x && (options->first < 0 || options->first > channels || channels == 0))
    fail(&call, TF_INVALID_ARGUMENT, "there is no such channel");
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

static void compute_slopes(void *kernel, TF_OpKernelContext *context) {
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

static void compute_slopes_gradient(void *kernel, TF_OpKernelContext *context) {
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

static void unknown_shape(TF_ShapeInferenceContext *context, TF_Status *status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

// The first `count` outputs have the shapes of the inputs.
static void same_shapes(TF_ShapeInferenceContext *context, TF_Status *status, int count) {
  for (int i = 0; i < count && TF_GetCode(status) == TF_OK; ++i) {
    TF_ShapeHandle *shape = TF_NewShapeHandle();
    TF_ShapeInferenceContextGetInput(context, i, shape, status);
    if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSetOutput(context, i, shape, status);
    TF_DeleteShapeHandle(shape);
  }
}

static void same_shape(TF_ShapeInferenceContext *context, TF_Status *status) { same_shapes(context, status, 1); }

static void three_shapes(TF_ShapeInferenceContext *context, TF_Status *status) { same_shapes(context, status, 3); }

// Registers an operator. Attributes, inputs and outputs are lists that end with
// NULL.
static void define(const char *name, const char **attributes, const char **inputs, const char **outputs,
                   void (*shape)(TF_ShapeInferenceContext *, TF_Status *)) {
  TF_OpDefinitionBuilder *builder = TF_NewOpDefinitionBuilder(name);
  TF_Status *status = TF_NewStatus();
  for (; *attributes; ++attributes) TF_OpDefinitionBuilderAddAttr(builder, *attributes);
  for (; *inputs; ++inputs) TF_OpDefinitionBuilderAddInput(builder, *inputs);
  for (; *outputs; ++outputs) TF_OpDefinitionBuilderAddOutput(builder, *outputs);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(builder, shape);
  TF_RegisterOpDefinition(builder, status);
  TF_DeleteStatus(status);
}

// Registers the kernel of an operator; of one of the types of its attribute T,
// or of an operator without.
static void implement(const char *name, int type, void *(*make)(TF_OpKernelConstruction *),
                      void (*compute)(void *, TF_OpKernelContext *)) {
  TF_Status *status = TF_NewStatus();
  TF_KernelBuilder *builder = TF_NewKernelBuilder(name, "CPU", make, compute, free);
  if (type) TF_KernelBuilder_TypeConstraint(builder, "T", type, status);
  TF_RegisterKernelBuilder(name, builder, status);
  TF_DeleteStatus(status);
}

#define LIST(...) ((const char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define TYPE "T: {float, bfloat16}"

__attribute__((constructor)) static void define_all(void) {
  define("FtbnnBinaryConv", LIST("stride: int", "same: bool"), LIST("x: float", "kernel: float"), LIST("y: float"),
         unknown_shape);
  implement("FtbnnBinaryConv", 0, create_conv, compute_conv);
  define("FtbnnNegative", LIST(TYPE), LIST("x: float"), LIST("y: T"), same_shape);
  implement("FtbnnNegative", TF_FLOAT, create_float, compute_negative);
  implement("FtbnnNegative", TF_BFLOAT16, create_bfloat16, compute_negative);
  define("FtbnnSignGradient", LIST(TYPE), LIST("x: float", "upstream: T"), LIST("dx: float"), same_shape);
  implement("FtbnnSignGradient", TF_FLOAT, create_float, compute_sign_gradient);
  implement("FtbnnSignGradient", TF_BFLOAT16, create_bfloat16, compute_sign_gradient);
  define("FtbnnRotate", LIST("first: int"), LIST("x: float"), LIST("y: float"), same_shape);
  implement("FtbnnRotate", 0, create_rotate, compute_rotate);
  define("FtbnnTwoSlopes", LIST(), LIST("x: float", "p: float", "n: float"), LIST("y: float"), same_shape);
  implement("FtbnnTwoSlopes", 0, create_float, compute_slopes);
  define("FtbnnTwoSlopesGradient", LIST(), LIST("x: float", "p: float", "n: float", "upstream: float"),
         LIST("dx: float", "dp: float", "dn: float"), three_shapes);
  implement("FtbnnTwoSlopesGradient", 0, create_float, compute_slopes_gradient);
}
