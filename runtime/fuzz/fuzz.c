// A fuzzer: changes the graphs of real flatbuffers at random, and has the delegate claim, prepare and run them.
//
//   fuzz SEED COUNT GRAPH...
//
// The graphs are written by dump.py. This file plays the interpreter: each tensor has exactly the memory that its type
// and shape need, so that AddressSanitizer sees whatever is read or written beside it.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/tflite.h"

TfLiteDelegate *tflite_plugin_create_delegate(const char *const *keys, const char *const *values, size_t count,
                                              void (*report)(const char *));
void tflite_plugin_destroy_delegate(TfLiteDelegate *delegate);

enum { MAX_TENSORS = 4096, MAX_NODES = 1024, MAX_LIST = 64, MAX_PARAMS = 8, MAX_TENSOR_BYTES = 1 << 24 };

typedef struct {
  int type, rank, dims[8], is_constant, zero_point;
  float scale;
  int64_t bytes;
  unsigned char *data;
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

static uint64_t state;

static uint32_t random_number(uint32_t below) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((state >> 33) % below);
}

static void need(int condition) {
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

static void read_graph(const char *path, Graph *graph) {
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
    read_bytes(file, &tensor->scale, sizeof tensor->scale);
    tensor->zero_point = read_int(file);
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

// A number as a hostile file has it.
static int odd_number(int now) {
  static const int odd[] = {0, -1, 1, 2, 3, 7, 31, 32, 33, 64, 255, 256, 257, 65535, 65536, 1 << 20, 1 << 30, INT32_MAX, INT32_MIN};
  switch (random_number(4)) {
    case 0:
      return now + 1;
    case 1:
      return now - 1;
    case 2:
      return (int)random_number(70);
    default:
      return odd[random_number(sizeof odd / sizeof *odd)];
  }
}

static void mutate(Graph *graph) {
  Tensor *tensor = &graph->tensors[random_number((uint32_t)graph->tensor_count)];
  Node *node = &graph->nodes[random_number((uint32_t)graph->node_count)];
  static const int types[] = {kTfLiteFloat32, kTfLiteInt32, kTfLiteBool, kTfLiteInt8, 3, 4, 0};
  static const int codes[] = {0, 1, 2, 3, 4, 6, 17, 19, 32, 49, 54};
  int *list = random_number(2) ? node->inputs : node->outputs;
  int *count = list == node->inputs ? &node->input_count : &node->output_count;
  switch (random_number(13)) {
    case 0:
    case 1:
      if (tensor->rank) {
        int *side = &tensor->dims[random_number((uint32_t)tensor->rank)];
        *side = odd_number(*side);
      }
      break;
    case 2:
      tensor->rank = (int)random_number(7);
      break;
    case 3:
      tensor->type = types[random_number(sizeof types / sizeof *types)];
      break;
    case 4:
      if (tensor->bytes) tensor->bytes = (int64_t)random_number((uint32_t)tensor->bytes);
      break;
    case 5:
      tensor->is_constant = !tensor->is_constant;
      break;
    case 6:
      if (*count) list[random_number((uint32_t)*count)] = (int)random_number((uint32_t)graph->tensor_count + 4) - 2;
      break;
    case 7:
      *count = (int)random_number(random_number(8) ? 6 : MAX_LIST);
      break;
    case 8:
    case 9:
      if (node->option_bytes && random_number(2))
        node->options[random_number((uint32_t)node->option_bytes)] ^= (unsigned char)(1u << random_number(8));
      else if (node->option_bytes)
        node->options[random_number((uint32_t)node->option_bytes)] = (unsigned char)random_number(256);
      if (node->option_bytes && !random_number(6)) node->option_bytes = (int)random_number((uint32_t)node->option_bytes);
      break;
    case 10: {
      int *param = &node->params[random_number(MAX_PARAMS)];
      *param = odd_number(*param);
      if (!random_number(8)) node->has_params = !node->has_params;
      break;
    }
    case 11:
      if (random_number(2))
        node->code = codes[random_number(sizeof codes / sizeof *codes)];
      else
        memcpy(node->name, graph->nodes[random_number((uint32_t)graph->node_count)].name, sizeof node->name);
      break;
    default:
      if (random_number(2)) {
        tensor->scale = random_number(2) ? 0 : -1.0f / (float)random_number(3);
      } else {
        Node other = graph->nodes[random_number((uint32_t)graph->node_count)];
        other.options = node->options, other.option_bytes = node->option_bytes;
        *node = other;
      }
  }
}

// The interpreter.
typedef struct {
  TfLiteContext context;  // first: callbacks get a pointer to it
  const Graph *graph;
  TfLiteTensor *tensors;
  TfLiteNode *nodes;
  TfLiteRegistration *registrations;
  TfLiteIntArray *plan;
  int claimed, refused, ran;
} Player;

static TfLiteIntArray *array_of(const int *values, int count) {
  TfLiteIntArray *array = malloc(sizeof *array + (size_t)count * sizeof(int));
  array->size = count;
  if (count) memcpy(array->data, values, (size_t)count * sizeof(int));
  return array;
}

static size_t bytes_of(const TfLiteTensor *tensor) {
  uint64_t count = tensor->type == kTfLiteInt8 || tensor->type == kTfLiteBool ? 1 : 4;
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

// One part of all claimed nodes, as if nothing stood between them.
static TfLiteStatus replace(TfLiteContext *context, TfLiteRegistration registration, const TfLiteIntArray *claimed,
                            TfLiteDelegate *delegate) {
  Player *player = (Player *)(void *)context;
  const int count = player->graph->tensor_count;
  char *made = calloc((size_t)count, 1), *read = calloc((size_t)count, 1), *wanted = calloc((size_t)count, 1);
  char *is_claimed = calloc((size_t)player->graph->node_count, 1);
  for (int i = 0; i < claimed->size; ++i) {
    is_claimed[claimed->data[i]] = 1;
    collect(player->nodes[claimed->data[i]].inputs, read, count);
    collect(player->nodes[claimed->data[i]].outputs, made, count);
  }
  for (int i = 0; i < player->graph->node_count; ++i) {
    if (!is_claimed[i]) collect(player->nodes[i].inputs, wanted, count);
  }
  for (int i = 0; i < player->graph->output_count; ++i) wanted[player->graph->outputs[i]] = 1;
  TfLiteIntArray *inputs = array_of(NULL, 0), *outputs = array_of(NULL, 0);
  inputs = realloc(inputs, sizeof *inputs + (size_t)count * sizeof(int));
  outputs = realloc(outputs, sizeof *outputs + (size_t)count * sizeof(int));
  for (int i = 0; i < count; ++i) {
    if (read[i] && !made[i]) inputs->data[inputs->size++] = i;
    if (made[i] && wanted[i]) outputs->data[outputs->size++] = i;
  }
  TfLiteIntArray *nodes = array_of(claimed->data, claimed->size);
  TfLiteDelegateParams params = {delegate, nodes, inputs, outputs};
  TfLiteNode node = {.inputs = inputs, .outputs = outputs};
  node.user_data = registration.init(context, (const char *)&params, 0);
  player->claimed = claimed->size;
  TfLiteStatus status = registration.prepare(context, &node);
  size_t total = 0;
  for (int i = 0; i < count && status == kTfLiteOk; ++i) {
    TfLiteTensor *tensor = &player->tensors[i];
    if (tensor->allocation_type == kTfLiteMmapRo || (!read[i] && !made[i])) continue;
    const size_t bytes = bytes_of(tensor);
    if (bytes == SIZE_MAX || (total += bytes) > 8 * (size_t)MAX_TENSOR_BYTES) {
      status = kTfLiteError;
      break;
    }
    free(tensor->data);
    tensor->data = malloc(bytes);
    tensor->bytes = bytes;
    for (size_t j = 0; j < bytes; ++j) ((unsigned char *)tensor->data)[j] = (unsigned char)(random_number(256) & 0xbf);
  }
  if (status == kTfLiteOk && registration.invoke(context, &node) == kTfLiteOk) ++player->ran;
  registration.free(context, node.user_data);
  free(nodes), free(inputs), free(outputs), free(made), free(read), free(wanted), free(is_claimed);
  return kTfLiteOk;
}

// Claims and runs a graph. Gives 0 for a refusal, 1 for a graph that ran.
static int play(const Graph *graph, const char *isa) {
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
    to->params.scale = from->scale, to->params.zero_point = from->zero_point;
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
  const char *keys[] = {"isa"}, *values[] = {isa};
  TfLiteDelegate *delegate = tflite_plugin_create_delegate(keys, values, isa ? 1 : 0, NULL);
  need(delegate != NULL);
  delegate->Prepare(&player.context, delegate);
  tflite_plugin_destroy_delegate(delegate);
  for (int i = 0; i < graph->tensor_count; ++i) free(player.tensors[i].dims), free(player.tensors[i].data);
  for (int i = 0; i < graph->node_count; ++i) {
    free(player.nodes[i].inputs), free(player.nodes[i].outputs), free(player.nodes[i].builtin_data);
    free((void *)player.nodes[i].custom_initial_data);
  }
  free(player.tensors), free(player.nodes), free(player.registrations), free(player.plan), free(order);
  return player.ran;
}

int main(int argc, char **argv) {
  static Graph graphs[16], changed;
  if (argc < 4) {
    fprintf(stderr, "fuzz SEED COUNT GRAPH...\n");
    return 2;
  }
  const int count = argc - 3 > 16 ? 16 : argc - 3;
  for (int i = 0; i < count; ++i) {
    read_graph(argv[3 + i], &graphs[i]);
    // What is whole has to run.
    need(play(&graphs[i], NULL));
  }
  const long first = strtol(argv[1], NULL, 10), all = strtol(argv[2], NULL, 10);
  long ran = 0;
  for (long i = first; i < first + all; ++i) {
    state = (uint64_t)i * 0x9e3779b97f4a7c15u + 1;
    changed = graphs[random_number((uint32_t)count)];
    // Options are changed in place: they need a copy.
    unsigned char *copies[MAX_NODES];
    for (int j = 0; j < changed.node_count; ++j) {
      copies[j] = malloc((size_t)changed.nodes[j].option_bytes + 1);
      memcpy(copies[j], changed.nodes[j].options, (size_t)changed.nodes[j].option_bytes);
      changed.nodes[j].options = copies[j];
    }
    for (uint32_t j = 0, changes = 1 + random_number(3); j < changes; ++j) mutate(&changed);
    ran += play(&changed, random_number(4) ? "portable" : NULL);
    for (int j = 0; j < changed.node_count; ++j) free(copies[j]);
  }
  printf("%ld changed graphs: %ld ran, %ld were refused\n", all, ran, all - ran);
  return 0;
}
