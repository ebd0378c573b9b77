// A partition under compilation, in three rooms: values.c, fusion.c, memory.c.

#ifndef FTBNN_COMPILE_H
#define FTBNN_COMPILE_H

#include "graph.h"
#include "prepare.h"
#include "steps.h"

// A tensor of the partition. Its map lies in that of a root, at `first`; a root has storage of its own.
typedef struct {
  Map map;
  int tensor;        // -1 for a copy of our own
  int root, offset;  // elements into a pixel of the root
  bool is_input, is_output;
  int maker;       // node, -1 for an input
  int uses;        // nodes that read it
  int readers[2];  // the first of them
  // Of a root.
  int top, left, bottom, right;  // the frame of packed signs
  int first_step, last_step;     // of all that lies in it
  bool is_external;
  size_t place, bytes;  // in the arena
} Value;

struct Graph {
  Tensors tensors;
  const Kernels *kernels;
  Threads *threads;
  Node *nodes;
  int node_count;
  int *value_of;  // [tensor], -1 for none
  int tensor_count;
  Value *values;
  int value_count, value_room;
  int *made, made_count;  // constants that another part or a person reads: tensors
  Step *steps;
  int step_count;
  bool *is_fused;     // [node]: another step does its work
  Profiled *profile;  // [node], or NULL
  char *arena;
  size_t arena_bytes;
  Pieces pieces;  // what steps have allocated
};

// values.c: the tensors, and which lie in others.

// Reads the partition's nodes, and what they make and read. False, where they do not fit.
bool values_read(Graph *graph, const TfLiteDelegateParams *params);

// Finds parts that lie in a whole: those that SPLIT and STRIDED_SLICE cut, and those that CONCATENATION joins, where
// they can be made there.
void values_find_views(Graph *graph);

// The value of a tensor, which may be new; one of our own for -1. -1 where there is no room, or the tensor is no map.
int value_for(Graph *graph, int tensor);

Value *value_at(Graph *graph, int tensor);

// The value in which one lies, perhaps itself, and its first channel there.
int root_of(const Graph *graph, int value, int *offset);

// fusion.c: a step for each node, or for several, in order of execution. False where memory is short.
bool fusion_make_steps(Graph *graph);

// memory.c: lays out all maps, and places them in one arena. False where they do not fit, or memory is short.
bool memory_place(Graph *graph);

// Points all maps at the picture of this number.
void memory_point(Graph *graph, int picture);

#endif
