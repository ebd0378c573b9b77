// A partition of a flatbuffer's operators, compiled: what is fused, what is a view, where everything lies.

#ifndef FTBNN_GRAPH_H
#define FTBNN_GRAPH_H

#include "bconv.h"
#include "node.h"
#include "threads.h"

typedef struct Graph Graph;

// What a profile says of an operator. Programs read it: its layout stays.
typedef struct {
  int32_t node;         // its place in the flatbuffer
  int32_t leader;       // the place of the operator whose step does its work, perhaps itself; -1 where there is none
  int64_t nanoseconds;  // of its own step, in all inferences
} Profiled;

// Compiles a partition. NULL, after a message, where it does not fit or memory is short. `profile` has room for each of
// its operators, or is NULL: with it steps are timed.
Graph *graph_create(const Tensors *tensors, const TfLiteDelegateParams *params, const Kernels *kernels,
                    Threads *threads, Profiled *profile);

// Gives the partition's outputs their size, which may differ in the number of pictures alone.
TfLiteStatus graph_prepare(Graph *graph, TfLiteContext *context);

TfLiteStatus graph_run(Graph *graph, TfLiteContext *context);

void graph_free(Graph *graph);

#endif
