// What is made of constants before the first picture: packed weights, padded vectors, tables of offsets.

#ifndef FTBNN_PREPARE_H
#define FTBNN_PREPARE_H

#include "steps.h"

// Of the pixels of a map: words to each from the first one. Steps on maps that are laid out alike share a table.
typedef struct Offsets {
  struct Offsets *next;
  int h, w;
  int64_t row, column;
  int32_t at[];
} Offsets;

// Memory that is freed together.
typedef struct {
  void **items;
  int count, room;
  Offsets *offsets;
} Pieces;

// Zeroed, and aligned for vectors. NULL where memory is short.
void *prepare_bytes(Pieces *pieces, size_t bytes);

void pieces_free(Pieces *pieces);

// `count` elements of a float constant from `first` on, padded with zeros to whole blocks. NULL where memory is short.
float *prepare_floats(Pieces *pieces, const Tensors *tensors, int tensor, int first, int count);

// The constants of a binary convolution, in the order in which a kernel reads them; `slope` is the tensor of a PRELU
// behind it, or -1. False where memory is short.
bool prepare_bconv(Pieces *pieces, const Tensors *tensors, const Node *node, int slope, Step *step);

// Those of any other step, as these kernels take them.
bool prepare_step(Pieces *pieces, const Tensors *tensors, const Node *node, const Kernels *kernels, Step *step);

// The tables of a step whose maps are laid out.
bool prepare_places(Pieces *pieces, Step *step);

#endif
