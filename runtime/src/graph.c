#include "graph.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compile.h"

Graph *graph_create(const Tensors *tensors, const TfLiteDelegateParams *params, const Kernels *kernels,
                    Threads *threads, Profiled *profile) {
  Graph *graph = calloc(1, sizeof *graph);
  if (!graph) return NULL;
  TfLiteContext *context = tensors->context;
  graph->kernels = kernels, graph->threads = threads, graph->profile = profile;
  graph->node_count = params->nodes_to_replace->size;
  graph->tensor_count = (int)tensors->count;
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
  graph->made = malloc(((size_t)params->output_tensors->size + 1) * sizeof *graph->made);
  bool is_made = tensors_copy(&graph->tensors, tensors) && graph->nodes && graph->is_fused && graph->values &&
                 graph->steps && graph->value_of && graph->made;
  if (is_made) {
    for (int i = 0; i < graph->tensor_count; ++i) graph->value_of[i] = -1;
    is_made = values_read(graph, params);
  }
  if (is_made) {
    values_find_views(graph);
    is_made = fusion_make_steps(graph) && memory_place(graph);
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
  tensors_free(&graph->tensors);
  free(graph->nodes);
  free(graph->is_fused);
  free(graph->values);
  free(graph->steps);
  free(graph->value_of);
  free(graph->made);
  free(graph);
}

// The number of pictures, which all inputs share; 0 where they do not, or have another size than the graph.
static int pictures(const Graph *graph) {
  int count = 0;
  for (int i = 0; i < graph->value_count; ++i) {
    const Value *value = &graph->values[i];
    if (!value->is_external || value->is_output || value->tensor < 0) continue;
    const bool is_copy = value->maker < 0 && !value->is_input && graph->value_of[value->tensor] != i &&
                         graph->values[graph->value_of[value->tensor]].is_output;
    if (is_copy) continue;
    const TfLiteTensor *tensor = tensor_at(&graph->tensors, value->tensor);
    Shape shape;
    if (!tensor_shape(&graph->tensors, value->tensor, &shape) || memcmp(&shape, &value->map.shape, sizeof shape) != 0)
      return 0;
    if (count && tensor->dims->data[0] != count) return 0;
    count = tensor->dims->data[0];
  }
  // A part may be of constants alone.
  return graph->value_count ? count : 1;
}

TfLiteStatus graph_prepare(Graph *graph, TfLiteContext *context) {
  const int count = pictures(graph);
  if (!count) {
    context->ReportError(context, "ftbnn-runtime: only the number of pictures can be changed, alike in all inputs");
    return kTfLiteError;
  }
  for (int i = 0; i < graph->tensor_count; ++i) {
    if (graph->value_of[i] < 0 || !graph->values[graph->value_of[i]].is_output) continue;
    TfLiteTensor *tensor = &context->tensors[i];
    if (tensor->dims->data[0] == count) continue;
    const size_t bytes = sizeof *tensor->dims + (size_t)tensor->dims->size * sizeof(int);
    TfLiteIntArray *dims = malloc(bytes);
    if (!dims) return kTfLiteError;
    memcpy(dims, tensor->dims, bytes);
    dims->data[0] = count;
    if (context->ResizeTensor(context, tensor, dims) != kTfLiteOk) return kTfLiteError;
  }
  return kTfLiteOk;
}

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

TfLiteStatus graph_run(Graph *graph, TfLiteContext *context) {
  const int count = pictures(graph);
  for (int i = 0; i < graph->value_count; ++i) {
    const Value *value = &graph->values[i];
    if (!value->is_external) continue;
    const TfLiteTensor *tensor = &context->tensors[value->tensor];
    if (!count || !tensor->data || tensor->bytes != value->bytes * (size_t)count) {
      context->ReportError(context, "ftbnn-runtime: tensor %d has another size than before", value->tensor);
      return kTfLiteError;
    }
  }
  threads_wake(graph->threads);
  for (int i = 0; i < graph->made_count; ++i) {
    const TfLiteTensor *tensor = tensor_at(&graph->tensors, graph->made[i]);
    const int64_t elements = tensor_made(&graph->tensors, graph->made[i]);
    if (!tensor->data || tensor->bytes != (size_t)elements * sizeof(float)) {
      context->ReportError(context, "ftbnn-runtime: tensor %d has another size than before", graph->made[i]);
      return kTfLiteError;
    }
    tensor_floats(&graph->tensors, graph->made[i], 0, elements, tensor->data);
  }
  for (int picture = 0; picture < count; ++picture) {
    memory_point(graph, picture);
    for (int i = 0; i < graph->step_count; ++i) {
      const Step *step = &graph->steps[i];
      const int64_t begin = graph->profile ? nanoseconds() : 0;
      step_run(step, graph->kernels, graph->threads);
      if (graph->profile) graph->profile[step->node].nanoseconds += nanoseconds() - begin;
    }
  }
  return kTfLiteOk;
}
