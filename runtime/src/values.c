#include "compile.h"

int value_for(Graph *graph, int tensor) {
  if (tensor >= 0 && graph->value_of[tensor] >= 0) return graph->value_of[tensor];
  if (graph->value_count == graph->value_room) return -1;
  Value *value = &graph->values[graph->value_count];
  *value = (Value){.tensor = tensor, .root = graph->value_count, .maker = -1, .first_step = INT32_MAX, .last_step = -1};
  if (tensor >= 0) {
    const TfLiteTensor *t = tensor_at(&graph->tensors, tensor);
    if (!tensor_shape(&graph->tensors, tensor, &value->map.shape)) return -1;
    value->map.type = t->type;
    value->map.scale = t->params.scale;
    value->map.zero_point = t->params.zero_point;
    graph->value_of[tensor] = graph->value_count;
  }
  return graph->value_count++;
}

Value *value_at(Graph *graph, int tensor) { return &graph->values[graph->value_of[tensor]]; }

int root_of(const Graph *graph, int value, int *offset) {
  *offset = 0;
  while (graph->values[value].root != value) {
    *offset += graph->values[value].offset;
    value = graph->values[value].root;
  }
  return value;
}

bool values_read(Graph *graph, const TfLiteDelegateParams *params) {
  TfLiteContext *context = graph->tensors.context;
  TfLiteNode *from;
  TfLiteRegistration *registration;
  for (int i = 0; i < graph->node_count; ++i) {
    const char *why = "";
    const int index = params->nodes_to_replace->data[i];
    if (context->GetNodeAndRegistration(context, index, &from, &registration) != kTfLiteOk ||
        !node_read(&graph->tensors, from, registration, &graph->nodes[i], &why)) {
      context->ReportError(context, "ftbnn-runtime: node %d: %s", index, why);
      return false;
    }
    if (graph->profile) graph->profile[i].node = index;
  }
  for (int i = 0; i < params->input_tensors->size; ++i) {
    const int tensor = params->input_tensors->data[i];
    if (tensor < 0 || tensor >= graph->tensor_count || tensor_is_known(&graph->tensors, tensor)) continue;
    const int value = value_for(graph, tensor);
    if (value < 0) return false;
    graph->values[value].is_input = graph->values[value].is_external = true;
  }
  for (int i = 0; i < graph->node_count; ++i) {
    const Node *node = &graph->nodes[i];
    for (int j = 0; j < node->inputs->size; ++j) {
      const int tensor = node->inputs->data[j];
      if (tensor >= graph->tensor_count) return false;
      if (tensor < 0 || tensor_is_known(&graph->tensors, tensor)) continue;
      // Nodes stand in order of execution: what is read was made before, or comes from outside.
      if (graph->value_of[tensor] < 0) return false;
      Value *value = value_at(graph, tensor);
      if (value->uses < 2) value->readers[value->uses] = i;
      ++value->uses;
    }
    for (int j = 0; j < node->outputs->size && node->kind != NODE_CONSTANT; ++j) {
      const int tensor = node->outputs->data[j];
      if (tensor < 0 || tensor >= graph->tensor_count || graph->value_of[tensor] >= 0) return false;
      const int value = value_for(graph, tensor);
      if (value < 0) return false;
      graph->values[value].maker = i;
    }
  }
  for (int i = 0; i < params->output_tensors->size; ++i) {
    const int tensor = params->output_tensors->data[i];
    if (tensor < 0 || tensor >= graph->tensor_count) return false;
    if (tensor_made(&graph->tensors, tensor) >= 0) {
      graph->made[graph->made_count++] = tensor;
      continue;
    }
    if (graph->value_of[tensor] < 0) return false;
    value_at(graph, tensor)->is_output = true;
  }
  return true;
}

void values_find_views(Graph *graph) {
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
    if (node->kind == NODE_SLICE) {
      Value *part = value_at(graph, node->outputs->data[0]);
      part->root = graph->value_of[node->inputs->data[0]], part->offset = node->first_channel;
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
