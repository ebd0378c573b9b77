// A graph that is changed at random, and the interpreter that plays it.

#ifndef FTBNN_FUZZ_H
#define FTBNN_FUZZ_H

#include <stdint.h>

#include "../src/tflite.h"

enum { MAX_TENSORS = 4096, MAX_NODES = 1024, MAX_LIST = 64, MAX_PARAMS = 8 };

typedef struct {
  int type, rank, dims[8], is_constant;
  int scale_count, zero_count, stored_scales, axis, zero_point;
  float scale, *scales;
  int32_t *zero_points;
  int64_t bytes;
  unsigned char *data, *changed;  // a copy whose values were changed
} Tensor;

typedef struct {
  int code;
  char name[32];
  int inputs[MAX_LIST], input_count, outputs[MAX_LIST], output_count;
  int params[MAX_PARAMS], has_params;
  unsigned char *options;
  int option_bytes;
} Node;

typedef struct {
  int tensor_count, node_count, output_count, outputs[MAX_LIST];
  Tensor tensors[MAX_TENSORS];
  Node nodes[MAX_NODES];
} Graph;

// Ends the program where a condition does not hold.
void need(int condition);

uint32_t random_number(uint32_t below);

// Reads what dump.py wrote.
void read_graph(const char *path, Graph *graph);

// Changes one thing.
void mutate(Graph *graph);

// Claims and runs a graph with the kernels called `isa`, or the best. Gives 0 for a refusal, 1 for a graph that ran.
int play(const Graph *graph, const char *isa);

#endif
