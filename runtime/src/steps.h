// The steps that a partition is compiled to, each on maps that lie somewhere. What steps.c runs.

#ifndef FTBNN_STEPS_H
#define FTBNN_STEPS_H

#include "bconv.h"
#include "node.h"
#include "threads.h"

// A map of one picture in memory. Elements are floats, packed words, int8 or bool.
typedef struct {
  TfLiteType type;
  Shape shape;     // c counts words where signs are packed
  int pitch, row;  // elements from pixel to pixel, and from row to row
  int64_t first;   // elements from the root's begin to the first pixel
  char *data;      // the root's begin, once a picture is run
  float scale;     // of int8
  int zero_point;
} Map;

typedef struct {
  NodeKind kind;
  int node;                             // of the partition
  bool copies;                          // a copy, whatever `kind` says
  const Map *in, *other, *out, *signs;  // `other` is added; `signs` are packed by the way
  Window window;
  TfLiteFusedActivation activation;
  // Of a binary convolution, one of each group.
  BConv *convs;
  int groups;
  const int32_t *signs_offset;
  // Of PRELU, and of float convolutions: prepared.
  float *slope, *weights, *bias;
  bool is_stem;  // by stem.h
  // Of a dense layer.
  int8_t *bytes;
  float *scale;
} Step;

// Runs a step on one picture.
void step_run(const Step *step, const Kernels *kernels, Threads *threads);

#endif
