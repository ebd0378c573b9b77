// A partition of a flatbuffer's operators, compiled: what is fused, what is a view, where everything lies.

#ifndef FTBNN_GRAPH_H
#define FTBNN_GRAPH_H

#include "bconv.h"
#include "node.h"
#include "threads.h"

typedef struct Graph Graph;

// Compiles a partition. NULL, after a message, where it does not fit or memory is short.
Graph *graph_create(const Tensors *tensors, const TfLiteDelegateParams *params, const Kernels *kernels,
                    Threads *threads);

// Gives the partition's outputs their size, which may differ in the number of pictures alone.
TfLiteStatus graph_prepare(Graph *graph, TfLiteContext *context);

TfLiteStatus graph_run(Graph *graph, TfLiteContext *context);

void graph_free(Graph *graph);

#endif
