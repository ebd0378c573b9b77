#include "graph.h"

#include <stdlib.h>
#include <string.h>

#include "prepare.h"
#include "steps.h"

#define ALIGNMENT 64

// A tensor of the partition. Its map lies in that of a root, at `first`; a root has storage of its own.
typedef struct {
  Map map;
  int tensor;  // -1 for a copy of our own
  int root, offset;  // elements into a pixel of the root
  bool is_input, is_output;
  int maker;          // node, -1 for an input
  int uses;           // nodes that read it
  int readers[2];     // the first of them
  // Of a root.
  int top, left, bottom, right;  // the frame of packed signs
  int first_step, last_step;     // of all that lies in it
  bool is_external;
  size_t place, bytes;  // in the arena
} Value;

struct Graph {
  const Kernels *kernels;
  Threads *threads;
  Node *nodes;
  int node_count;
  int *value_of;  // [tensor], -1 for none
  int tensor_count;
  Value *values;
  int value_count, value_room;
  Step *steps;
  int step_count;
  bool *is_fused;  // [node]: another step does its work
  char *arena;
  size_t arena_bytes;
  Pieces pieces;  // what steps have allocated
};

static int value_for(Graph *graph, const TfLiteContext *context, int tensor) {
  if (tensor >= 0 && graph->value_of[tensor] >= 0) return graph->value_of[tensor];
  if (graph->value_count == graph->value_room) return -1;
  Value *value = &graph->values[graph->value_count];
  *value = (Value){.tensor = tensor, .root = graph->value_count, .maker = -1, .first_step = INT32_MAX, .last_step = -1};
  if (tensor >= 0) {
    const TfLiteTensor *t = &context->tensors[tensor];
    if (!shape_of(context, tensor, &value->map.shape)) return -1;
    value->map.type = t->type;
    value->map.scale = t->params.scale;
    value->map.zero_point = t->params.zero_point;
    graph->value_of[tensor] = graph->value_count;
  }
  return graph->value_count++;
}

static Value *value_at(Graph *graph, int tensor) { return &graph->values[graph->value_of[tensor]]; }

static int root_of(const Graph *graph, int value, int *offset) {
  *offset = 0;
  while (graph->values[value].root != value) {
    *offset += graph->values[value].offset;
    value = graph->values[value].root;
  }
  return value;
}

static bool read_nodes(Graph *graph, TfLiteContext *context, const TfLiteDelegateParams *params) {
  for (int i = 0; i < graph->node_count; ++i) {
    TfLiteNode *from;
    TfLiteRegistration *registration;
    const char *why = "";
    const int index = params->nodes_to_replace->data[i];
    if (context->GetNodeAndRegistration(context, index, &from, &registration) != kTfLiteOk ||
        !node_read(context, from, registration, &graph->nodes[i], &why)) {
      context->ReportError(context, "ftbnn-runtime: node %d: %s", index, why);
      return false;
    }
  }
  for (int i = 0; i < params->input_tensors->size; ++i) {
    const int tensor = params->input_tensors->data[i];
    if (tensor < 0 || tensor >= graph->tensor_count || context->tensors[tensor].allocation_type == kTfLiteMmapRo) continue;
    const int value = value_for(graph, context, tensor);
    if (value < 0) return false;
    graph->values[value].is_input = graph->values[value].is_external = true;
  }
  for (int i = 0; i < graph->node_count; ++i) {
    const Node *node = &graph->nodes[i];
    for (int j = 0; j < node->inputs->size; ++j) {
      const int tensor = node->inputs->data[j];
      if (tensor >= graph->tensor_count) return false;
      if (tensor < 0 || context->tensors[tensor].allocation_type == kTfLiteMmapRo) continue;
      // Nodes stand in order of execution: what is read was made before, or comes from outside.
      if (graph->value_of[tensor] < 0) return false;
      Value *value = value_at(graph, tensor);
      if (value->uses < 2) value->readers[value->uses] = i;
      ++value->uses;
    }
    for (int j = 0; j < node->outputs->size; ++j) {
      const int tensor = node->outputs->data[j];
      if (tensor < 0 || tensor >= graph->tensor_count || graph->value_of[tensor] >= 0) return false;
      const int value = value_for(graph, context, tensor);
      if (value < 0) return false;
      graph->values[value].maker = i;
    }
  }
  for (int i = 0; i < params->output_tensors->size; ++i) {
    const int tensor = params->output_tensors->data[i];
    if (tensor < 0 || tensor >= graph->tensor_count || graph->value_of[tensor] < 0) return false;
    value_at(graph, tensor)->is_output = true;
  }
  return true;
}

// Parts that lie in a whole: those that SPLIT cuts, and those that CONCATENATION joins, where they can be made there.
static void find_views(Graph *graph) {
  for (int i = 0; i < graph->node_count; ++i) {
    const Node *node = &graph->nodes[i];
    if (node->kind == NODE_SPLIT) {
      const int whole = graph->value_of[node->inputs->data[1]];
      for (int j = 0, at = 0; j < node->outputs->size; ++j) {
        Value *part = value_at(graph, node->outputs->data[j]);
        part->root = whole, part->offset = at;
        at += part->map.shape.c;
      }
      graph->is_fused[i] = true;
    }
    if (node->kind != NODE_CONCATENATION) continue;
    const int whole = graph->value_of[node->outputs->data[0]];
    // All side by side in one map already?
    bool is_view = true;
    int root = -1, begin = 0, expected = 0;
    for (int j = 0; j < node->inputs->size && is_view; ++j) {
      int offset;
      const int part = graph->value_of[node->inputs->data[j]];
      const int its_root = root_of(graph, part, &offset);
      if (j == 0) root = its_root, begin = expected = offset;
      is_view = its_root == root && offset == expected && root != part;
      expected += graph->values[part].map.shape.c;
    }
    if (is_view) {
      graph->values[whole].root = root, graph->values[whole].offset = begin;
      graph->is_fused[i] = true;
      continue;
    }
    bool all = true;
    for (int j = 0, at = 0; j < node->inputs->size; ++j) {
      const int part = graph->value_of[node->inputs->data[j]];
      Value *value = &graph->values[part];
      const bool can = value->root == part && !value->is_input && !value->is_output && part != whole;
      if (can) value->root = whole, value->offset = at;
      // What cannot lie there is copied.
      all = all && can;
      at += value->map.shape.c;
    }
    graph->is_fused[i] = all;
  }
}

// The one reader of a value that nothing else needs, or -1.
static int only_reader(const Graph *graph, int value) {
  const Value *v = &graph->values[value];
  return v->uses == 1 && !v->is_output ? v->readers[0] : -1;
}

static const Map *map_of(Graph *graph, int tensor) { return &value_at(graph, tensor)->map; }

// Fuses what follows a binary convolution into its step.
static bool fuse(Graph *graph, TfLiteContext *context, int node_index, Step *step, bool is_step_of_node[], int *at) {
  const Node *node = &graph->nodes[node_index];
  int out = graph->value_of[node->outputs->data[0]];
  *at = node_index;
  if (graph->values[out].map.type != kTfLiteFloat32) return true;
  int reader = only_reader(graph, out);
  if (reader >= 0 && graph->nodes[reader].kind == NODE_PRELU) {
    const Node *prelu = &graph->nodes[reader];
    step->slope = prepare_floats(&graph->pieces, context->tensors[prelu->inputs->data[1]].data, graph->values[out].map.shape.c);
    if (!step->slope) return false;
    is_step_of_node[reader] = false;
    out = graph->value_of[prelu->outputs->data[0]];
    *at = reader;
    reader = only_reader(graph, out);
  }
  if (reader >= 0 && graph->nodes[reader].kind == NODE_ADD && is_step_of_node[reader]) {
    const Node *add = &graph->nodes[reader];
    const int a = graph->value_of[add->inputs->data[0]], b = graph->value_of[add->inputs->data[1]];
    if (a != b) {
      step->other = &graph->values[a == out ? b : a].map;
      step->activation = add->activation;
      is_step_of_node[reader] = false;
      out = graph->value_of[add->outputs->data[0]];
      *at = reader;
    }
  }
  // The signs of what comes out, by the way.
  const Value *value = &graph->values[out];
  int quantized = 0;
  for (int i = 0; i < min_int(2, value->uses); ++i) {
    const Node *next = &graph->nodes[value->readers[i]];
    if (next->kind != NODE_QUANTIZE || !is_step_of_node[value->readers[i]] || step->signs) continue;
    step->signs = map_of(graph, next->outputs->data[0]);
    is_step_of_node[value->readers[i]] = false;
    ++quantized;
  }
  // A map that nothing reads is written all the same: a step writes something.
  step->out = value->uses > quantized || value->is_output || !step->signs ? &value->map : NULL;
  return true;
}

// A step for each node, or for several; in order of execution.
static bool make_steps(Graph *graph, TfLiteContext *context) {
  const int count = graph->node_count;
  bool *is_step = malloc((size_t)count * sizeof *is_step);
  Step *steps = calloc((size_t)count, sizeof *steps);
  if (!is_step || !steps) {
    free(is_step);
    free(steps);
    return false;
  }
  for (int i = 0; i < count; ++i) is_step[i] = !graph->is_fused[i];
  bool is_made = true;
  for (int i = 0; i < count && is_made; ++i) {
    const Node *node = &graph->nodes[i];
    if (node->kind != NODE_BCONV) continue;
    // At the place of the last node that it does the work of: all that this one reads is there by then.
    Step step = {.kind = NODE_BCONV};
    const Map *out = map_of(graph, node->outputs->data[0]);
    step.in = map_of(graph, node->inputs->data[0]);
    step.window = node->window;
    if (out->type == kTfLiteInt32)
      step.signs = out;
    else
      step.out = out;
    int at;
    is_step[i] = false;
    is_made = fuse(graph, context, i, &step, is_step, &at) &&
              prepare_bconv(&graph->pieces, context, node, &step);
    steps[at] = step;
  }
  for (int i = 0; i < count && is_made; ++i) {
    const Node *node = &graph->nodes[i];
    if (!is_step[i] || node->kind == NODE_CONCATENATION) continue;
    Step *step = &steps[i];
    step->kind = node->kind;
    step->in = map_of(graph, node->inputs->data[0]);
    step->out = map_of(graph, node->outputs->data[0]);
    step->window = node->window;
    step->activation = node->activation;
    if (node->kind == NODE_ADD) step->other = map_of(graph, node->inputs->data[1]);
    is_made = prepare_step(&graph->pieces, context, node, step);
  }
  // Copies are not fused: a CONCATENATION has one for each part that lies elsewhere.
  for (int i = 0; i < count && is_made; ++i) {
    const Node *node = &graph->nodes[i];
    if (is_step[i] && node->kind == NODE_CONCATENATION) {
      for (int j = 0, at = 0; j < node->inputs->size; ++j) {
        const int part = graph->value_of[node->inputs->data[j]];
        const int whole = graph->value_of[node->outputs->data[0]];
        const int channels = graph->values[part].map.shape.c;
        if (graph->values[part].root != whole || graph->values[part].offset != at) {
          const int target = value_for(graph, context, -1);
          is_made = target >= 0;
          if (!is_made) break;
          graph->values[target].map = graph->values[part].map;
          graph->values[target].root = whole, graph->values[target].offset = at;
          graph->steps[graph->step_count++] =
              (Step){.copies = true, .in = &graph->values[part].map, .out = &graph->values[target].map};
        }
        at += channels;
      }
    } else if (steps[i].in) {
      graph->steps[graph->step_count++] = steps[i];
    }
  }
  free(is_step);
  free(steps);
  return is_made;
}

static Value *value_of_map(const Map *map) { return (Value *)((char *)map - offsetof(Value, map)); }

static Value *root_value(Graph *graph, const Map *map) {
  int offset;
  return &graph->values[root_of(graph, (int)(value_of_map(map) - graph->values), &offset)];
}

// A value like `map`, not part of any other.
static int twin(Graph *graph, const Map *map) {
  const int value = value_for(graph, NULL, -1);
  if (value >= 0) graph->values[value].map = *map;
  return value;
}

// Outputs lie where the interpreter wants them; those that are part of another map, or need a frame, are copied there.
// Inputs that need a frame are copied out.
static bool place_borders(Graph *graph) {
  // Frames.
  for (int i = 0; i < graph->step_count; ++i) {
    const Step *step = &graph->steps[i];
    if (step->copies || step->kind != NODE_BCONV) continue;
    Value *root = root_value(graph, step->in);
    const Window *w = &step->window;
    const Shape in = step->in->shape;
    const Shape out = step->out ? step->out->shape : step->signs->shape;
    root->top = max_int(root->top, w->top);
    root->left = max_int(root->left, w->left);
    const int bottom = (out.h - 1) * w->stride_h + (w->kernel_h - 1) * w->dilation_h - w->top - (in.h - 1);
    const int right = (out.w - 1) * w->stride_w + (w->kernel_w - 1) * w->dilation_w - w->left - (in.w - 1);
    root->bottom = max_int(root->bottom, bottom);
    root->right = max_int(root->right, right);
  }
  const int count = graph->value_count;
  for (int i = 0; i < count; ++i) {
    Value *value = &graph->values[i];
    const bool framed = value->top || value->left || value->bottom || value->right;
    if (value->is_input && framed) {
      // The copy takes the value's place: all that was part of it is part of the copy.
      const int copy = twin(graph, &value->map);
      if (copy < 0) return false;
      graph->values[copy].tensor = value->tensor;
      graph->values[copy].is_external = true;
      value->is_external = value->is_input = false;
      memmove(graph->steps + 1, graph->steps, (size_t)graph->step_count * sizeof *graph->steps);
      graph->steps[0] = (Step){.copies = true, .in = &graph->values[copy].map, .out = &value->map};
      ++graph->step_count;
    }
    if (!value->is_output) continue;
    if (value->root == i && !framed && !value->is_input) {
      value->is_external = true;
      continue;
    }
    const int copy = twin(graph, &value->map);
    if (copy < 0) return false;
    graph->values[copy].tensor = value->tensor;
    graph->values[copy].is_external = true;
    graph->steps[graph->step_count++] = (Step){.copies = true, .in = &value->map, .out = &graph->values[copy].map};
  }
  return true;
}

static size_t element(TfLiteType type) { return type == kTfLiteInt8 || type == kTfLiteBool ? 1 : 4; }

// Where each map lies in its root, and the root's bytes.
static bool lay_out(Graph *graph) {
  for (int i = 0; i < graph->value_count; ++i) {
    Value *value = &graph->values[i];
    int offset;
    const Value *root = &graph->values[root_of(graph, i, &offset)];
    Map *map = &value->map;
    map->pitch = root->map.shape.c;
    map->row = (root->map.shape.w + root->left + root->right) * map->pitch;
    map->first = (int64_t)root->top * map->row + (int64_t)root->left * map->pitch + offset;
    if (value->root == i) {
      const int64_t rows = map->shape.h + root->top + root->bottom;
      const int64_t bytes = rows * map->row * (int64_t)element(map->type);
      if (bytes > MAX_BYTES) return false;
      value->bytes = (size_t)bytes;
    }
  }
  for (int i = 0; i < graph->step_count; ++i) {
    const Map *maps[] = {graph->steps[i].in, graph->steps[i].other, graph->steps[i].out, graph->steps[i].signs};
    for (int j = 0; j < 4; ++j) {
      if (!maps[j]) continue;
      Value *root = root_value(graph, maps[j]);
      root->first_step = min_int(root->first_step, i);
      root->last_step = max_int(root->last_step, i);
    }
  }
  return true;
}

static bool is_like(const Value *a, const Value *b) {
  return a->map.type == b->map.type && a->bytes == b->bytes && a->map.row == b->map.row && a->map.pitch == b->map.pitch &&
         a->top == b->top && a->left == b->left;
}

// Whether a step adds `other` to what it writes as `value`, both whole: pixel by pixel the sum may take its place.
static bool may_replace(Graph *graph, const Value *value, const Value *other) {
  if (other->last_step != value->first_step) return false;
  const Step *step = &graph->steps[value->first_step];
  return step->kind == NODE_BCONV && !step->copies && step->other && step->out && value_of_map(step->out) == value &&
         value_of_map(step->other) == other && is_like(value, other);
}

// Places of roots in the arena. Maps whose lives do not overlap may share one; packed ones only with their like, so that
// frames, which are written once, stay.
static bool place_roots(Graph *graph) {
  for (int i = 0; i < graph->value_count; ++i) {
    Value *value = &graph->values[i];
    if (value->root != i || value->is_external || value->last_step < 0) continue;
    const bool packed = value->map.type == kTfLiteInt32;
    const size_t bytes = (value->bytes + SLACK + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size_t place = 0;
    bool is_free = false;
    while (!is_free) {
      is_free = true;
      for (int j = 0; j < i && is_free; ++j) {
        const Value *other = &graph->values[j];
        if (other->root != j || other->is_external || other->last_step < 0) continue;
        const size_t end = other->place + (other->bytes + SLACK + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        if (place >= end || other->place >= place + bytes) continue;
        const bool apart = other->last_step < value->first_step || value->last_step < other->first_step;
        const bool mixed = packed || other->map.type == kTfLiteInt32;
        if (other->place == place && (may_replace(graph, value, other) || may_replace(graph, other, value))) continue;
        if (apart && (!mixed || (other->place == place && is_like(value, other)))) continue;
        is_free = false;
        place = end;
      }
    }
    value->place = place;
    if (place + bytes > graph->arena_bytes) graph->arena_bytes = place + bytes;
    if (graph->arena_bytes > (size_t)MAX_BYTES) return false;
  }
  graph->arena = prepare_bytes(&graph->pieces, graph->arena_bytes + ALIGNMENT);
  return graph->arena != NULL;
}

static void point(Graph *graph, TfLiteContext *context, int picture) {
  for (int i = 0; i < graph->value_count; ++i) {
    Value *value = &graph->values[i];
    int offset;
    const Value *root = &graph->values[root_of(graph, i, &offset)];
    if (root->is_external) {
      const size_t bytes = root->bytes * (size_t)picture;
      value->map.data = (char *)context->tensors[root->tensor].data + bytes;
    } else {
      value->map.data = graph->arena + root->place;
    }
  }
}

Graph *graph_create(TfLiteContext *context, const TfLiteDelegateParams *params, const Kernels *kernels, Threads *threads) {
  Graph *graph = calloc(1, sizeof *graph);
  if (!graph) return NULL;
  graph->kernels = kernels, graph->threads = threads;
  graph->node_count = params->nodes_to_replace->size;
  graph->tensor_count = (int)context->tensors_size;
  // Each tensor has a value, and perhaps a copy; parts of a CONCATENATION may have another.
  size_t parts = 0;
  for (int i = 0; i < graph->node_count; ++i) {
    TfLiteNode *node;
    TfLiteRegistration *registration;
    if (context->GetNodeAndRegistration(context, params->nodes_to_replace->data[i], &node, &registration) == kTfLiteOk)
      parts += (size_t)node->inputs->size + (size_t)node->outputs->size;
  }
  graph->value_room = (int)(3 * parts) + params->input_tensors->size + params->output_tensors->size;
  graph->nodes = calloc((size_t)graph->node_count, sizeof *graph->nodes);
  graph->is_fused = calloc((size_t)graph->node_count, sizeof *graph->is_fused);
  graph->values = calloc((size_t)graph->value_room + 1, sizeof *graph->values);
  graph->steps = calloc((size_t)graph->node_count + (size_t)graph->value_room + 1, sizeof *graph->steps);
  graph->value_of = malloc(((size_t)graph->tensor_count + 1) * sizeof *graph->value_of);
  bool is_made = graph->nodes && graph->is_fused && graph->values && graph->steps && graph->value_of;
  if (is_made) {
    for (int i = 0; i < graph->tensor_count; ++i) graph->value_of[i] = -1;
    is_made = read_nodes(graph, context, params);
  }
  if (is_made) {
    find_views(graph);
    is_made = make_steps(graph, context) && place_borders(graph) && lay_out(graph) && place_roots(graph);
  }
  for (int i = 0; i < graph->step_count && is_made; ++i) is_made = prepare_places(&graph->pieces, &graph->steps[i]);
  if (!is_made) {
    context->ReportError(context, "ftbnn-runtime: a part of %d operators does not fit, or memory is short",
                         params->nodes_to_replace->size);
    graph_free(graph);
    return NULL;
  }
  return graph;
}

void graph_free(Graph *graph) {
  if (!graph) return;
  pieces_free(&graph->pieces);
  free(graph->nodes);
  free(graph->is_fused);
  free(graph->values);
  free(graph->steps);
  free(graph->value_of);
  free(graph);
}

// The number of pictures, which all inputs share; 0 where they do not, or have another size than the graph.
static int pictures(const Graph *graph, const TfLiteContext *context) {
  int count = 0;
  for (int i = 0; i < graph->value_count; ++i) {
    const Value *value = &graph->values[i];
    if (!value->is_external || value->is_output || value->tensor < 0) continue;
    const bool is_copy = value->maker < 0 && !value->is_input && graph->value_of[value->tensor] != i &&
                         graph->values[graph->value_of[value->tensor]].is_output;
    if (is_copy) continue;
    const TfLiteTensor *tensor = &context->tensors[value->tensor];
    Shape shape;
    if (!shape_of(context, value->tensor, &shape) || memcmp(&shape, &value->map.shape, sizeof shape) != 0) return 0;
    if (count && tensor->dims->data[0] != count) return 0;
    count = tensor->dims->data[0];
  }
  return count;
}

TfLiteStatus graph_prepare(Graph *graph, TfLiteContext *context) {
  const int count = pictures(graph, context);
  if (!count) {
    context->ReportError(context, "ftbnn-runtime: only the number of pictures can be changed, alike in all inputs");
    return kTfLiteError;
  }
  for (int i = 0; i < graph->tensor_count; ++i) {
    if (graph->value_of[i] < 0 || !graph->values[graph->value_of[i]].is_output) continue;
    TfLiteTensor *tensor = &context->tensors[i];
    if (tensor->dims->data[0] == count) continue;
    TfLiteIntArray *dims = malloc(sizeof *dims + 4 * sizeof(int));
    if (!dims) return kTfLiteError;
    const Shape shape = graph->values[graph->value_of[i]].map.shape;
    dims->size = 4;
    dims->data[0] = count, dims->data[1] = shape.h, dims->data[2] = shape.w, dims->data[3] = shape.c;
    if (context->ResizeTensor(context, tensor, dims) != kTfLiteOk) return kTfLiteError;
  }
  return kTfLiteOk;
}

TfLiteStatus graph_run(Graph *graph, TfLiteContext *context) {
  const int count = pictures(graph, context);
  for (int i = 0; i < graph->value_count; ++i) {
    const Value *value = &graph->values[i];
    if (!value->is_external) continue;
    const TfLiteTensor *tensor = &context->tensors[value->tensor];
    if (!count || !tensor->data || tensor->bytes != value->bytes * (size_t)count) {
      context->ReportError(context, "ftbnn-runtime: tensor %d has another size than before", value->tensor);
      return kTfLiteError;
    }
  }
  for (int picture = 0; picture < count; ++picture) {
    point(graph, context, picture);
    for (int i = 0; i < graph->step_count; ++i) step_run(&graph->steps[i], graph->kernels, graph->threads);
  }
  return kTfLiteOk;
}
