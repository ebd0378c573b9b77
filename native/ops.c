// The operators of a training step, for TensorFlow on CPUs. Python gives them
// what fits (ftbnn_larq/models/native.py); what would lead out of a tensor is
// refused here too.

#include <stdlib.h>

#include "filters.h"
#include "op.h"

// Whether the gradient of a kernel may be asked for.
__attribute__((visibility("default"))) bool ftbnn_has_filter_gradient(bool of_bfloat16);
bool ftbnn_has_filter_gradient(bool of_bfloat16) { return has_filter_gradient(of_bfloat16); }

static void unknown_shape(TF_ShapeInferenceContext *context, TF_Status *status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

// Output `of` has the shape of an input.
static void copy_shape(TF_ShapeInferenceContext *context, TF_Status *status, int of, int from) {
  TF_ShapeHandle *shape = TF_NewShapeHandle();
  if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextGetInput(context, from, shape, status);
  if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSetOutput(context, of, shape, status);
  TF_DeleteShapeHandle(shape);
}

static void same_shape(TF_ShapeInferenceContext *context, TF_Status *status) { copy_shape(context, status, 0, 0); }

// The first output is like x, the others like gamma.
static void norm_shapes(TF_ShapeInferenceContext *context, TF_Status *status) {
  for (int i = 0; i < 3; ++i) copy_shape(context, status, i, i ? 2 : 0);
}

static void norm_gradient_shapes(TF_ShapeInferenceContext *context, TF_Status *status) {
  for (int i = 0; i < 6; ++i) copy_shape(context, status, i, i ? 2 : 0);
}

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

// Registers the kernel of an operator, of all types that it may have.
static void implement(const char *name, void *(*make)(TF_OpKernelConstruction *),
                      void (*compute)(void *, TF_OpKernelContext *)) {
  TF_Status *status = TF_NewStatus();
  TF_RegisterKernelBuilder(name, TF_NewKernelBuilder(name, "CPU", make, compute, free), status);
  TF_DeleteStatus(status);
}

#define LIST(...) ((const char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define OF_VECTORS "gamma: float", "beta: float", "p: float", "n: float", "t: float"

__attribute__((constructor)) static void define_all(void) {
  define("FtbnnBinaryConv", LIST("T: {float, int16}", "stride: int", "same: bool", "turn: int"),
         LIST("x: float", "kernel: float"), LIST("y: T", "signs: int32"), unknown_shape);
  implement("FtbnnBinaryConv", create_conv, compute_conv);
  define("FtbnnFilterGradient",
         LIST("T: {float, bfloat16}", "stride: int", "kernel_h: int", "kernel_w: int", "channels: int", "groups: int"),
         LIST("signs: int32", "upstream: T"), LIST("taps: float"), unknown_shape);
  implement("FtbnnFilterGradient", create_filter_gradient, compute_filter_gradient);
  define("FtbnnNegative", LIST("T: {float, bfloat16}"), LIST("x: float"), LIST("negative: T"), same_shape);
  implement("FtbnnNegative", create_plain, compute_negative);
  // One tensor is added, or none.
  define("FtbnnSignGradient", LIST("T: {float, bfloat16}", "N: int >= 0", "first: int"),
         LIST("x: float", "upstream: T", "added: N * float"), LIST("dx: float"), same_shape);
  implement("FtbnnSignGradient", create_sign_gradient, compute_sign_gradient);
  define("FtbnnNorm", LIST("T: {float, int16}", "epsilon: float"), LIST("x: T", "shortcut: float", OF_VECTORS),
         LIST("y: float", "mean: float", "variance: float"), norm_shapes);
  implement("FtbnnNorm", create_norm, compute_norm);
  define("FtbnnNormGradient", LIST("T: {float, int16}", "D: {float, bfloat16}", "epsilon: float"),
         LIST("x: T", "upstream: float", OF_VECTORS, "mean: float", "variance: float"),
         LIST("dx: D", "dgamma: float", "dbeta: float", "dp: float", "dn: float", "dt: float"), norm_gradient_shapes);
  implement("FtbnnNormGradient", create_norm, compute_norm_gradient);
}
