// The part of TensorFlow Lite's C interface that a delegate needs, as interpreters of 2.14 and later lay it out.
//
// No wheel ships TensorFlow Lite's headers. Fields stand in the order of tensorflow/lite/core/c/common.h and
// builtin_op_data.h, which is only ever appended to. Trailing fields that are not used here are left out of structs
// that the interpreter allocates, and kept in those that are passed to it by value.

#ifndef FTBNN_TFLITE_H
#define FTBNN_TFLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { kTfLiteOk = 0, kTfLiteError = 1, kTfLiteDelegateError = 2 } TfLiteStatus;

typedef enum {
  kTfLiteFloat32 = 1,
  kTfLiteInt32 = 2,
  kTfLiteBool = 6,
  kTfLiteInt8 = 9,
  kTfLiteFloat16 = 10,
} TfLiteType;

typedef enum { kTfLiteMmapRo = 1 } TfLiteAllocationType;

typedef struct {
  int size;
  int data[];
} TfLiteIntArray;

typedef struct {
  int size;
  float data[];
} TfLiteFloatArray;

typedef struct {
  float scale;
  int32_t zero_point;
} TfLiteQuantizationParams;

enum { kTfLiteAffineQuantization = 1 };

typedef struct {
  TfLiteFloatArray *scale;
  TfLiteIntArray *zero_point;
  int32_t quantized_dimension;
} TfLiteAffineQuantization;

typedef struct {
  int type;
  void *params;
} TfLiteQuantization;

typedef struct TfLiteDelegate TfLiteDelegate;
typedef struct TfLiteContext TfLiteContext;

typedef struct {
  TfLiteType type;
  void *data;
  TfLiteIntArray *dims;
  TfLiteQuantizationParams params;
  TfLiteAllocationType allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  TfLiteDelegate *delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  TfLiteQuantization quantization;
  void *sparsity;
  const TfLiteIntArray *dims_signature;
} TfLiteTensor;

typedef struct {
  TfLiteIntArray *inputs;
  TfLiteIntArray *outputs;
  TfLiteIntArray *intermediates;
  TfLiteIntArray *temporaries;
  void *user_data;
  void *builtin_data;
  const void *custom_initial_data;
  int custom_initial_data_size;
} TfLiteNode;

typedef struct TfLiteRegistration {
  void *(*init)(TfLiteContext *, const char *buffer, size_t length);
  void (*free)(TfLiteContext *, void *buffer);
  TfLiteStatus (*prepare)(TfLiteContext *, TfLiteNode *);
  TfLiteStatus (*invoke)(TfLiteContext *, TfLiteNode *);
  const char *(*profiling_string)(const TfLiteContext *, const TfLiteNode *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *registration_external;
  void *async_kernel;
  uint64_t inplace_operator;
} TfLiteRegistration;

struct TfLiteContext {
  size_t tensors_size;
  TfLiteStatus (*GetExecutionPlan)(TfLiteContext *, TfLiteIntArray **);
  TfLiteTensor *tensors;
  void *impl_;
  TfLiteStatus (*ResizeTensor)(TfLiteContext *, TfLiteTensor *, TfLiteIntArray *new_size);
  void (*ReportError)(TfLiteContext *, const char *format, ...);
  TfLiteStatus (*AddTensors)(TfLiteContext *, int, int *);
  TfLiteStatus (*GetNodeAndRegistration)(TfLiteContext *, int, TfLiteNode **, TfLiteRegistration **);
  TfLiteStatus (*ReplaceNodeSubsetsWithDelegateKernels)(TfLiteContext *, TfLiteRegistration, const TfLiteIntArray *,
                                                        TfLiteDelegate *);
  int recommended_num_threads;
};

typedef struct {
  TfLiteDelegate *delegate;
  TfLiteIntArray *nodes_to_replace;
  TfLiteIntArray *input_tensors;
  TfLiteIntArray *output_tensors;
} TfLiteDelegateParams;

struct TfLiteDelegate {
  void *data_;
  TfLiteStatus (*Prepare)(TfLiteContext *, TfLiteDelegate *);
  void *CopyFromBufferHandle;
  void *CopyToBufferHandle;
  void *FreeBufferHandle;
  int64_t flags;
  void *opaque_delegate_builder;
};

enum { kTfLiteDelegateFlagsAllowDynamicTensors = 1 };

// Codes of TensorFlow Lite's own operators.
enum {
  kTfLiteBuiltinAdd = 0,
  kTfLiteBuiltinAveragePool2d = 1,
  kTfLiteBuiltinConcatenation = 2,
  kTfLiteBuiltinConv2d = 3,
  kTfLiteBuiltinDepthwiseConv2d = 4,
  kTfLiteBuiltinDequantize = 6,
  kTfLiteBuiltinFullyConnected = 9,
  kTfLiteBuiltinMaxPool2d = 17,
  kTfLiteBuiltinMul = 18,
  kTfLiteBuiltinCustom = 32,
  kTfLiteBuiltinStridedSlice = 45,
  kTfLiteBuiltinSplit = 49,
  kTfLiteBuiltinPrelu = 54,
};

typedef enum { kTfLitePaddingUnknown = 0, kTfLitePaddingSame = 1, kTfLitePaddingValid = 2 } TfLitePadding;
typedef enum {
  kTfLiteActNone = 0,
  kTfLiteActRelu = 1,
  kTfLiteActReluN1To1 = 2,
  kTfLiteActRelu6 = 3
} TfLiteFusedActivation;

typedef struct {
  TfLitePadding padding;
  int stride_width, stride_height;
  TfLiteFusedActivation activation;
  int dilation_width_factor, dilation_height_factor;
} TfLiteConvParams;

typedef struct {
  TfLiteFusedActivation activation;
  int weights_format;  // 0 for filters row by row
} TfLiteFullyConnectedParams;

typedef struct {
  TfLitePadding padding;
  int stride_width, stride_height;
  int depth_multiplier;
  TfLiteFusedActivation activation;
  int dilation_width_factor, dilation_height_factor;
} TfLiteDepthwiseConvParams;

typedef struct {
  TfLitePadding padding;
  int stride_width, stride_height;
  int filter_width, filter_height;
  TfLiteFusedActivation activation;
} TfLitePoolParams;

typedef struct {
  TfLiteFusedActivation activation;
} TfLiteAddParams, TfLiteMulParams;

typedef struct {
  int axis;
  TfLiteFusedActivation activation;
} TfLiteConcatenationParams;

typedef struct {
  int begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask;
} TfLiteStridedSliceParams;

#endif
