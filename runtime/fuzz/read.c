#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

void need(int condition) {
  if (condition) return;
  fprintf(stderr, "fuzz: the graph cannot be read\n");
  exit(2);
}

static void read_bytes(FILE *file, void *to, size_t bytes) { need(fread(to, 1, bytes, file) == bytes); }

static int read_int(FILE *file) {
  int32_t value;
  read_bytes(file, &value, sizeof value);
  return value;
}

static int read_list(FILE *file, int *list) {
  const int count = read_int(file);
  need(count >= 0 && count <= MAX_LIST);
  for (int i = 0; i < count; ++i) list[i] = read_int(file);
  return count;
}

void read_graph(const char *path, Graph *graph) {
  FILE *file = fopen(path, "rb");
  need(file != NULL);
  graph->tensor_count = read_int(file);
  need(graph->tensor_count > 0 && graph->tensor_count <= MAX_TENSORS);
  for (int i = 0; i < graph->tensor_count; ++i) {
    Tensor *tensor = &graph->tensors[i];
    tensor->type = read_int(file);
    tensor->rank = read_int(file);
    need(tensor->rank >= 0 && tensor->rank <= 8);
    for (int j = 0; j < tensor->rank; ++j) tensor->dims[j] = read_int(file);
    tensor->scale_count = tensor->zero_count = tensor->stored_scales = read_int(file);
    tensor->axis = read_int(file);
    need(tensor->scale_count >= 0 && tensor->scale_count <= 1 << 16);
    tensor->scales = malloc(((size_t)tensor->scale_count + 1) * sizeof(float));
    tensor->zero_points = malloc(((size_t)tensor->scale_count + 1) * sizeof(int32_t));
    read_bytes(file, tensor->scales, (size_t)tensor->scale_count * sizeof(float));
    read_bytes(file, tensor->zero_points, (size_t)tensor->scale_count * sizeof(int32_t));
    // The interpreter keeps these two for tensors of one scale.
    tensor->scale = tensor->scale_count == 1 ? tensor->scales[0] : 0;
    tensor->zero_point = tensor->scale_count == 1 ? tensor->zero_points[0] : 0;
    tensor->bytes = read_int(file);
    tensor->is_constant = tensor->bytes > 0;
    tensor->data = malloc((size_t)tensor->bytes + 1);
    read_bytes(file, tensor->data, (size_t)tensor->bytes);
  }
  graph->node_count = read_int(file);
  need(graph->node_count > 0 && graph->node_count <= MAX_NODES);
  for (int i = 0; i < graph->node_count; ++i) {
    Node *node = &graph->nodes[i];
    node->code = read_int(file);
    read_bytes(file, node->name, sizeof node->name);
    node->input_count = read_list(file, node->inputs);
    node->output_count = read_list(file, node->outputs);
    node->has_params = read_int(file);
    for (int j = 0; j < MAX_PARAMS; ++j) node->params[j] = read_int(file);
    node->option_bytes = read_int(file);
    node->options = malloc((size_t)node->option_bytes + 1);
    read_bytes(file, node->options, (size_t)node->option_bytes);
  }
  graph->output_count = read_list(file, graph->outputs);
  fclose(file);
}
