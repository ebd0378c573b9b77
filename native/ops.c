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
  define("FtbnnFilterGradient",
         LIST(TYPE, "stride: int", "same: bool", "kernel_h: int", "kernel_w: int", "groups: int"),
         LIST("x: float", "upstream: T"), LIST("taps: float"), unknown_shape);
  implement("FtbnnFilterGradient", TF_FLOAT, create_filter_gradient_float, compute_filter_gradient);
  implement("FtbnnFilterGradient", TF_BFLOAT16, create_filter_gradient_bfloat16, compute_filter_gradient);
  define("FtbnnNegative", LIST(TYPE), LIST("x: float"), LIST("y: T"), same_shape);
  implement("FtbnnNegative", TF_FLOAT, create_float, compute_negative);
  implement("FtbnnNegative", TF_BFLOAT16, create_bfloat16, compute_negative);
  define("FtbnnSignGradient", LIST(TYPE), LIST("x: float", "upstream: T"), LIST("dx: float"), same_shape);
  implement("FtbnnSignGradient", TF_FLOAT, create_float, compute_sign_gradient);
  implement("FtbnnSignGradient", TF_BFLOAT16, create_bfloat16, compute_sign_gradient);
  define("FtbnnRotate", LIST("first: int"), LIST("x: float"), LIST("y: float"), same_shape);
  implement("FtbnnRotate", 0, create_rotate, compute_rotate);
  define("FtbnnNorm", LIST("epsilon: float"),
         LIST("x: float", "shortcut: float", "gamma: float", "beta: float", "p: float", "n: float", "t: float"),
         LIST("y: float", "mean: float", "variance: float"), norm_shapes);
  implement("FtbnnNorm", 0, create_norm, compute_norm);
  define("FtbnnNormGradient", LIST("epsilon: float"),
         LIST("x: float", "upstream: float", "gamma: float", "beta: float", "p: float", "n: float", "t: float",
              "mean: float", "variance: float"),
         LIST("dx: float", "dgamma: float", "dbeta: float", "dp: float", "dn: float", "dt: float"),
         norm_gradient_shapes);
  implement("FtbnnNormGradient", 0, create_norm, compute_norm_gradient);
}
