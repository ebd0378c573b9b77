#include <stdlib.h>

#include "compile.h"

// The one reader of a value that nothing else needs, or -1.
static int only_reader(const Graph *graph, int value) {
  const Value *v = &graph->values[value];
  return v->uses == 1 && !v->is_output ? v->readers[0] : -1;
}

static const Map *map_of(Graph *graph, int tensor) { return &value_at(graph, tensor)->map; }

// Takes a node into the step of another one.
static void take(Graph *graph, bool is_step_of_node[], int node, int leader) {
  is_step_of_node[node] = false;
  if (graph->profile) graph->profile[node].leader = graph->profile[leader].node;
}

// Fuses what follows a binary convolution into its step. Gives the last node, whose place the step takes; sets the
// tensor of a PRELU's slopes.
static int fuse(Graph *graph, int node_index, Step *step, bool is_step_of_node[], int *slope) {
  const Node *node = &graph->nodes[node_index];
  int out = graph->value_of[node->outputs->data[0]], at = node_index;
  *slope = -1;
  if (graph->values[out].map.type != kTfLiteFloat32) return at;
  int reader = only_reader(graph, out);
  if (reader >= 0 && graph->nodes[reader].kind == NODE_PRELU) {
    const Node *prelu = &graph->nodes[reader];
    *slope = prelu->inputs->data[1];
    take(graph, is_step_of_node, reader, node_index);
    out = graph->value_of[prelu->outputs->data[0]];
    at = reader;
    reader = only_reader(graph, out);
  }
  if (reader >= 0 && graph->nodes[reader].kind == NODE_ADD && is_step_of_node[reader]) {
    const Node *add = &graph->nodes[reader];
    const int a = graph->value_of[add->inputs->data[0]], b = graph->value_of[add->inputs->data[1]];
    if (a != b) {
      step->other = &graph->values[a == out ? b : a].map;
      step->activation = add->activation;
      take(graph, is_step_of_node, reader, node_index);
      out = graph->value_of[add->outputs->data[0]];
      at = reader;
    }
  }
  // The signs of what comes out, by the way.
  const Value *value = &graph->values[out];
  int quantized = 0;
  for (int i = 0; i < min_int(2, value->uses); ++i) {
    const Node *next = &graph->nodes[value->readers[i]];
    if (next->kind != NODE_QUANTIZE || !is_step_of_node[value->readers[i]] || step->signs) continue;
    step->signs = map_of(graph, next->outputs->data[0]);
    take(graph, is_step_of_node, value->readers[i], node_index);
    ++quantized;
  }
  // A map that nothing reads is written all the same: a step writes something.
  step->out = value->uses > quantized || value->is_output || !step->signs ? &value->map : NULL;
  return at;
}

bool fusion_make_steps(Graph *graph) {
  const int count = graph->node_count;
  bool *is_step = malloc((size_t)count * sizeof *is_step);
  Step *steps = calloc((size_t)count, sizeof *steps);
  if (!is_step || !steps) {
    free(is_step);
    free(steps);
    return false;
  }
  for (int i = 0; i < count; ++i) {
    is_step[i] = !graph->is_fused[i];
    if (!graph->profile) continue;
    const bool has_work = is_step[i] && graph->nodes[i].kind != NODE_CONSTANT;
    graph->profile[i].leader = has_work ? graph->profile[i].node : -1;
  }
  bool is_made = true;
  for (int i = 0; i < count && is_made; ++i) {
    const Node *node = &graph->nodes[i];
    if (node->kind != NODE_BCONV) continue;
    // At the place of the last node that it does the work of: all that this one reads is there by then.
    Step step = {.kind = NODE_BCONV, .node = i};
    const Map *out = map_of(graph, node->outputs->data[0]);
    step.in = map_of(graph, node->inputs->data[0]);
    step.window = node->window;
    if (out->type == kTfLiteInt32)
      step.signs = out;
    else
      step.out = out;
    is_step[i] = false;
    int slope;
    const int at = fuse(graph, i, &step, is_step, &slope);
    is_made = prepare_bconv(&graph->pieces, &graph->tensors, node, slope, &step);
    steps[at] = step;
  }
  for (int i = 0; i < count && is_made; ++i) {
    const Node *node = &graph->nodes[i];
    if (!is_step[i] || node->kind == NODE_CONCATENATION || node->kind == NODE_CONSTANT) continue;
    Step *step = &steps[i];
    step->kind = node->kind;
    step->node = i;
    step->in = map_of(graph, node->inputs->data[0]);
    step->out = map_of(graph, node->outputs->data[0]);
    step->window = node->window;
    step->activation = node->activation;
    if (node->kind == NODE_ADD) step->other = map_of(graph, node->inputs->data[1]);
    is_made = prepare_step(&graph->pieces, &graph->tensors, node, graph->kernels, step);
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
          const int target = value_for(graph, -1);
          is_made = target >= 0;
          if (!is_made) break;
          graph->values[target].map = graph->values[part].map;
          graph->values[target].root = whole, graph->values[target].offset = at;
          graph->steps[graph->step_count++] =
              (Step){.node = i, .copies = true, .in = &graph->values[part].map, .out = &graph->values[target].map};
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
