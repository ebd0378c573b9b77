// The binary convolution and what follows it on the same pixels: scale and bias, PRELU, ADD, the next sign.

#ifndef FTBNN_BCONV_H
#define FTBNN_BCONV_H

#include "common.h"

typedef enum { OUT_FLOAT, OUT_INT8, OUT_THRESHOLD } OutputKind;

// A convolution of one group, prepared. All arrays over filters are padded to a multiple of BLOCK.
typedef struct {
  int filters;
  int products;  // in a sum
  bool pads_with_zero;
  // Runs of words that lie side by side in the input: those of a tap, or of a row of taps.
  int runs, run_words;
  const int32_t *run_offset;  // words from a pixel's first tap to each run
  const uint32_t *weights;    // [block of 16 filters][run][word][16 filters]
  int pixels;
  int64_t input_first;          // words from the frame's begin to the first pixel's first tap
  const int32_t *input_offset;  // and from there to each pixel's

  // Of zero padding: what to add to twice a filter's sum, by the class of the pixel. NULL without.
  const uint16_t *border_class;  // [pixel]
  const int32_t *border_sum;     // [class][filter]
  int inner_class;               // of pixels at which nothing lies outside, or -1
  bool has_odd_borders;          // whether any of these sums may be odd

  OutputKind kind;
  int32_t clamp_min, clamp_max;  // of twice the sum
  bool is_clamped;               // whether they change any sum
  const float *multiplier, *bias;
  const int32_t *threshold;
  const float *slope;  // of a PRELU behind it, or NULL
  bool relu;           // behind PRELU and ADD
} BConv;

// Where one inference reads and writes.
typedef struct {
  const uint32_t *input;
  const float *added;  // of an ADD, or NULL
  int added_pitch;     // floats from pixel to pixel
  float *output;       // or NULL, where only signs are wanted
  int output_pitch;
  int8_t *output8;
  uint32_t *signs;              // packed output, or NULL
  const int32_t *signs_offset;  // words to each pixel
  int signs_filter;             // place of the first filter among a pixel's signs
} BConvIO;

// Computes pixels `first` to `last` - 1.
typedef void (*BConvKernel)(const BConv *conv, const BConvIO *io, int first, int last);

// Packs the signs of `pixels` pixels of `channels` floats, which lie `pitch` floats apart, and `signs_pitch` words.
typedef void (*PackKernel)(const float *input, int pitch, int channels, int pixels, uint32_t *signs, int signs_pitch);

// Float windows of pixels side by side whose taps inside of the map are the same.
typedef struct {
  const float *input;  // at the first tap of the first pixel
  int rows, columns;   // of taps inside
  int64_t row, pitch;  // floats from tap to tap
  int kernel_w, first_tap, taps;
  int channels, filters;
  bool is_limited;  // to `low` and `high`
  float low, high;
  // Of a depthwise convolution [tap][channel], of another one [block of 16 filters][tap][channel][16 filters].
  const float *weights, *bias;
  float *output;
  int pixels;
  int64_t input_step, output_step;  // floats from pixel to pixel
} FloatWindows;

typedef void (*WindowKernel)(const FloatWindows *windows);

// A convolution that stem.h tells of.
typedef struct {
  const float *input;  // its first pixel
  int height, width, channels, filters;
  int64_t row, pitch;  // floats from row to row of the input, and from pixel to pixel
  int kernel_h, stride_h, top, left;
  bool is_limited;  // to `low` and `high`
  float low, high;
  const float *weights, *bias;  // [block of 16 filters][row][channel][product][16 filters]
  float *output;                // its first pixel
  int outputs;                  // of a row
  int64_t output_row, output_step;
} Stem;

// Computes rows `first` to `last` - 1.
typedef void (*StemKernel)(const Stem *stem, int first, int last);

// A dense layer of one pixel, with filters of 8 bits.
typedef struct {
  const float *input;
  int channels, filters;
  const int8_t *weights;      // [block of 16 filters][channel][16 filters]
  const float *scale, *bias;  // [filter]
  bool is_limited;            // to `low` and `high`
  float low, high;
  float *output;
} Dense;

// Computes filters `first` to `last` - 1; `first` is a multiple of BLOCK.
typedef void (*DenseKernel)(const Dense *dense, int first, int last);

typedef struct {
  const char *name;
  BConvKernel bconv;
  PackKernel pack;
  // NULL where the interpreter's own are faster.
  WindowKernel conv;
  StemKernel stem;
  DenseKernel dense;
  WindowKernel depthwise, average, max;
} Kernels;

extern const Kernels kernels_portable;
#if defined(__x86_64__)
extern const Kernels kernels_avx2, kernels_avx512;
#elif defined(__aarch64__)
extern const Kernels kernels_neon;
#endif

// The fastest kernels that this processor runs, or those called `name`; NULL where it does not run these.
const Kernels *kernels_choose(const char *name);

#endif
