// The interpreter. Each tensor has exactly the memory that its type and shape need, so that AddressSanitizer sees
// whatever is read or written beside it.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { MAX_TENSOR_BYTES = 1 << 24 };

TfLiteDelegate *tflite_plugin_create_delegate(const char *const *keys, const char *const *values, size_t count,
                                              void (*report)(const char *));
void tflite_plugin_destroy_delegate(TfLiteDelegate *delegate);

typedef struct {
  TfLiteContext context;  // first: callbacks get a pointer to it
  const Graph *graph;
  TfLiteTensor *tensors;
  TfLiteNode *nodes;
  TfLiteRegistration *registrations;
  TfLiteIntArray *plan;
  int refused, ran;
} Player;

static TfLiteIntArray *array_of(const int *values, int count) {
  TfLiteIntArray *array = malloc(sizeof *array + (size_t)count * sizeof(int));
  array->size = count;
  if (count) memcpy(array->data, values, (size_t)count * sizeof(int));
  return array;
}

static size_t bytes_of(const TfLiteTensor *tensor) {
  uint64_t count = tensor->type == kTfLiteInt8 || tensor->type == kTfLiteBool ? 1
                   : tensor->type == kTfLiteFloat16                           ? 2
                                                                              : 4;
  for (int i = 0; i < tensor->dims->size; ++i) {
    if (tensor->dims->data[i] <= 0) return 0;
    count *= (uint64_t)tensor->dims->data[i];
    if (count > MAX_TENSOR_BYTES) return SIZE_MAX;
  }
  return (size_t)count;
}

static TfLiteStatus get_plan(TfLiteContext *context, TfLiteIntArray **plan) {
  *plan = ((Player *)(void *)context)->plan;
  return kTfLiteOk;
}

static TfLiteStatus get_node(TfLiteContext *context, int index, TfLiteNode **node, TfLiteRegistration **registration) {
  Player *player = (Player *)(void *)context;
  if (index < 0 || index >= player->graph->node_count) return kTfLiteError;
  *node = &player->nodes[index], *registration = &player->registrations[index];
  return kTfLiteOk;
}

static void report(TfLiteContext *context, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (strncmp(text, "ftbnn-runtime:", 14) != 0) abort();
  ++((Player *)(void *)context)->refused;
}

static TfLiteStatus resize(TfLiteContext *context, TfLiteTensor *tensor, TfLiteIntArray *dims) {
  (void)context;
  free(tensor->dims);
  tensor->dims = dims;
  return kTfLiteOk;
}

static void collect(const TfLiteIntArray *list, char *flags, int count) {
  for (int i = 0; i < list->size; ++i) {
    if (list->data[i] >= 0 && list->data[i] < count) flags[list->data[i]] = 1;
  }
}

// Sets what a part of the claimed nodes reads from outside, and makes for it.
static void set_borders(const Player *player, const TfLiteIntArray *part, TfLiteIntArray *inputs,
                        TfLiteIntArray *outputs) {
  const int count = player->graph->tensor_count;
  char *made = calloc((size_t)count, 1), *read = calloc((size_t)count, 1), *wanted = calloc((size_t)count, 1);
  for (int i = 0, next = 0; i < player->graph->node_count; ++i) {
    const bool is_inside = next < part->size && part->data[next] == i;
    collect(player->nodes[i].inputs, is_inside ? read : wanted, count);
    if (is_inside) collect(player->nodes[i].outputs, made, count), ++next;
  }
  for (int i = 0; i < player->graph->output_count; ++i) wanted[player->graph->outputs[i]] = 1;
  for (int i = 0; i < count; ++i) {
    if (read[i] && !made[i]) inputs->data[inputs->size++] = i;
    if (made[i] && wanted[i]) outputs->data[outputs->size++] = i;
  }
  free(made), free(read), free(wanted);
}

// Gives each tensor of a node memory of its size. False where that is too much.
static bool fill(Player *player, const TfLiteIntArray *list, size_t *total) {
  for (int i = 0; i < list->size; ++i) {
    if (list->data[i] < 0 || list->data[i] >= player->graph->tensor_count) continue;
    TfLiteTensor *tensor = &player->tensors[list->data[i]];
    if (tensor->allocation_type == kTfLiteMmapRo) continue;
    const size_t bytes = bytes_of(tensor);
    if (bytes == SIZE_MAX || (*total += bytes) > 8 * (size_t)MAX_TENSOR_BYTES) return false;
    free(tensor->data);
    tensor->data = malloc(bytes);
    tensor->bytes = bytes;
    for (size_t j = 0; j < bytes; ++j) ((unsigned char *)tensor->data)[j] = (unsigned char)(random_number(256) & 0xbf);
  }
  return true;
}

// One part of all claimed nodes or two, as if nothing stood between them.
static TfLiteStatus replace(TfLiteContext *context, TfLiteRegistration registration, const TfLiteIntArray *claimed,
                            TfLiteDelegate *delegate) {
  Player *player = (Player *)(void *)context;
  const int cut = random_number(3) ? claimed->size : (int)random_number((uint32_t)claimed->size);
  const int begins[] = {0, cut, claimed->size};
  TfLiteIntArray *parts[2];
  TfLiteNode nodes[2] = {{0}, {0}};
  TfLiteStatus status = kTfLiteOk;
  size_t total = 0;
  for (int i = 0; i < 2; ++i) {
    parts[i] = array_of(claimed->data + begins[i], begins[i + 1] - begins[i]);
    const size_t room = sizeof(TfLiteIntArray) + (size_t)player->graph->tensor_count * sizeof(int);
    nodes[i].inputs = calloc(1, room), nodes[i].outputs = calloc(1, room);
    set_borders(player, parts[i], nodes[i].inputs, nodes[i].outputs);
    if (!parts[i]->size) continue;
    TfLiteDelegateParams params = {delegate, parts[i], nodes[i].inputs, nodes[i].outputs};
    nodes[i].user_data = registration.init(context, (const char *)&params, 0);
  }
  for (int i = 0; i < 2 && status == kTfLiteOk; ++i) {
    if (parts[i]->size) status = registration.prepare(context, &nodes[i]);
    if (status == kTfLiteOk && (!fill(player, nodes[i].inputs, &total) || !fill(player, nodes[i].outputs, &total)))
      status = kTfLiteError;
  }
  for (int i = 0; i < 2 && status == kTfLiteOk; ++i) {
    if (parts[i]->size) status = registration.invoke(context, &nodes[i]);
  }
  if (status == kTfLiteOk) ++player->ran;
  for (int i = 0; i < 2; ++i) {
    if (parts[i]->size) registration.free(context, nodes[i].user_data);
    free(parts[i]), free(nodes[i].inputs), free(nodes[i].outputs);
  }
  return kTfLiteOk;
}

// The interpreter's arrays, as long as they say.
static void set_scales(TfLiteTensor *to, const Tensor *from) {
  to->params.scale = from->scale, to->params.zero_point = from->zero_point;
  if (!from->scale_count && !from->zero_count) return;
  TfLiteAffineQuantization *affine = malloc(sizeof *affine);
  affine->scale = malloc(sizeof *affine->scale + (size_t)from->scale_count * sizeof(float));
  affine->scale->size = from->scale_count;
  affine->zero_point = malloc(sizeof *affine->zero_point + (size_t)from->zero_count * sizeof(int));
  affine->zero_point->size = from->zero_count;
  affine->quantized_dimension = from->axis;
  for (int i = 0; i < from->scale_count; ++i) affine->scale->data[i] = i < from->stored_scales ? from->scales[i] : 1;
  for (int i = 0; i < from->zero_count; ++i)
    affine->zero_point->data[i] = i < from->stored_scales ? from->zero_points[i] : -i;
  to->quantization.type = kTfLiteAffineQuantization;
  to->quantization.params = affine;
}

static void free_scales(TfLiteTensor *tensor) {
  TfLiteAffineQuantization *affine = tensor->quantization.params;
  if (!affine) return;
  free(affine->scale), free(affine->zero_point), free(affine);
}

int play(const Graph *graph, const char *isa) {
  Player player = {.graph = graph};
  player.tensors = calloc((size_t)graph->tensor_count, sizeof *player.tensors);
  player.nodes = calloc((size_t)graph->node_count, sizeof *player.nodes);
  player.registrations = calloc((size_t)graph->node_count, sizeof *player.registrations);
  int *order = malloc((size_t)graph->node_count * sizeof *order);
  for (int i = 0; i < graph->tensor_count; ++i) {
    const Tensor *from = &graph->tensors[i];
    TfLiteTensor *to = &player.tensors[i];
    to->type = (TfLiteType)from->type;
    to->dims = array_of(from->dims, from->rank);
    set_scales(to, from);
    if (from->is_constant) {
      to->allocation_type = kTfLiteMmapRo;
      to->bytes = (size_t)from->bytes;
      // Memory of its own, so that its end is known.
      to->data = malloc((size_t)from->bytes);
      memcpy(to->data, from->data, (size_t)from->bytes);
    }
  }
  for (int i = 0; i < graph->node_count; ++i) {
    const Node *from = &graph->nodes[i];
    order[i] = i;
    player.nodes[i].inputs = array_of(from->inputs, from->input_count);
    player.nodes[i].outputs = array_of(from->outputs, from->output_count);
    if (from->has_params) {
      player.nodes[i].builtin_data = malloc(sizeof from->params);
      memcpy(player.nodes[i].builtin_data, from->params, sizeof from->params);
    }
    unsigned char *options = malloc((size_t)from->option_bytes);
    if (from->option_bytes) memcpy(options, from->options, (size_t)from->option_bytes);
    player.nodes[i].custom_initial_data = options;
    player.nodes[i].custom_initial_data_size = from->option_bytes;
    player.registrations[i].builtin_code = from->code;
    player.registrations[i].custom_name = from->code == kTfLiteBuiltinCustom ? from->name : NULL;
  }
  player.plan = array_of(order, graph->node_count);
  player.context = (TfLiteContext){
      .tensors_size = (size_t)graph->tensor_count,
      .tensors = player.tensors,
      .GetExecutionPlan = get_plan,
      .ResizeTensor = resize,
      .ReportError = report,
      .GetNodeAndRegistration = get_node,
      .ReplaceNodeSubsetsWithDelegateKernels = replace,
      .recommended_num_threads = 1,
  };
  const char *keys[] = {"profile", "isa"}, *values[] = {"1", isa};
  TfLiteDelegate *delegate = tflite_plugin_create_delegate(keys, values, isa ? 2 : 1, NULL);
  need(delegate != NULL);
  delegate->Prepare(&player.context, delegate);
  tflite_plugin_destroy_delegate(delegate);
  for (int i = 0; i < graph->tensor_count; ++i)
    free_scales(&player.tensors[i]), free(player.tensors[i].dims), free(player.tensors[i].data);
  for (int i = 0; i < graph->node_count; ++i) {
    free(player.nodes[i].inputs), free(player.nodes[i].outputs), free(player.nodes[i].builtin_data);
    free((void *)player.nodes[i].custom_initial_data);
  }
  free(player.tensors), free(player.nodes), free(player.registrations), free(player.plan), free(order);
  return player.ran;
}
