#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

// A number as a hostile file has it.
static int odd_number(int now) {
  static const int odd[] = {0,   -1,  1,   2,     3,     7,       31,      32,        33,       64,
                            255, 256, 257, 65535, 65536, 1 << 20, 1 << 30, INT32_MAX, INT32_MIN};
  switch (random_number(4)) {
    case 0:
      return (int)((int64_t)now + 1);
    case 1:
      return (int)((int64_t)now - 1);
    case 2:
      return (int)random_number(70);
    default:
      return odd[random_number(sizeof odd / sizeof *odd)];
  }
}

// A node of this kind, or any where there is none.
static Node *node_of(Graph *graph, int code) {
  const uint32_t first = random_number((uint32_t)graph->node_count);
  for (int i = 0; i < graph->node_count; ++i) {
    Node *node = &graph->nodes[(first + (uint32_t)i) % (uint32_t)graph->node_count];
    if (node->code == code) return node;
  }
  return &graph->nodes[first];
}

// Changes a number within a constant: limits, axes, weights.
static void change_content(Tensor *tensor) {
  if (!tensor->changed) {
    tensor->changed = malloc((size_t)tensor->bytes + 1);
    memcpy(tensor->changed, tensor->data, (size_t)tensor->bytes);
    tensor->data = tensor->changed;
  }
  if (tensor->bytes < 4) return;
  const size_t place = 4 * (size_t)random_number((uint32_t)(tensor->bytes / 4));
  int value;
  memcpy(&value, tensor->data + place, sizeof value);
  value = odd_number(value);
  memcpy(tensor->data + place, &value, sizeof value);
}

static void change_tensor(Graph *graph, Tensor *tensor) {
  static const int types[] = {kTfLiteFloat32, kTfLiteInt32, kTfLiteBool, kTfLiteInt8, kTfLiteFloat16, 3, 4, 0};
  switch (random_number(9)) {
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
      if (random_number(2))
        tensor->scale = random_number(2) ? 0 : -1.0f / (float)random_number(3);
      else
        tensor->zero_point = odd_number(tensor->zero_point);
      break;
    case 7:
      switch (random_number(3)) {
        case 0:
          tensor->scale_count = (int)random_number(70);
          break;
        case 1:
          tensor->zero_count = (int)random_number(70);
          break;
        default:
          tensor->axis = odd_number(tensor->axis);
      }
      break;
    default:
      // A small one: large ones are weights, whose values mean nothing.
      for (int i = 0; i < 20 && (tensor->bytes < 4 || tensor->bytes > 64); ++i)
        tensor = &graph->tensors[random_number((uint32_t)graph->tensor_count)];
      change_content(tensor);
  }
}

static void change_node(Graph *graph, Node *node) {
  static const int codes[] = {0, 1, 2, 3, 4, 6, 17, 18, 19, 32, 45, 49, 54};
  int *list = random_number(2) ? node->inputs : node->outputs;
  int *count = list == node->inputs ? &node->input_count : &node->output_count;
  Node *other = &graph->nodes[random_number((uint32_t)graph->node_count)];
  switch (random_number(8)) {
    case 0:
      if (*count) list[random_number((uint32_t)*count)] = (int)random_number((uint32_t)graph->tensor_count + 4) - 2;
      break;
    case 1:
      *count = (int)random_number(random_number(8) ? 6 : MAX_LIST);
      break;
    case 2:
    case 3:
      if (node->option_bytes && random_number(2))
        node->options[random_number((uint32_t)node->option_bytes)] ^= (unsigned char)(1u << random_number(8));
      else if (node->option_bytes)
        node->options[random_number((uint32_t)node->option_bytes)] = (unsigned char)random_number(256);
      if (node->option_bytes && !random_number(6))
        node->option_bytes = (int)random_number((uint32_t)node->option_bytes);
      break;
    case 4: {
      int *param = &node->params[random_number(MAX_PARAMS)];
      *param = odd_number(*param);
      if (!random_number(8)) node->has_params = !node->has_params;
      break;
    }
    case 5:
      if (random_number(2))
        node->code = codes[random_number(sizeof codes / sizeof *codes)];
      else
        memcpy(node->name, other->name, sizeof node->name);
      break;
    case 6: {
      // A node that reads what another one makes.
      const int made = other->output_count ? other->outputs[random_number((uint32_t)other->output_count)] : -1;
      if (node->input_count) node->inputs[random_number((uint32_t)node->input_count)] = made;
      break;
    }
    default: {
      Node copy = *other;
      if (random_number(2)) {
        *other = *node;
      } else {
        copy.options = node->options, copy.option_bytes = node->option_bytes;
      }
      *node = copy;
    }
  }
}

void mutate(Graph *graph) {
  static const int kinds[] = {kTfLiteBuiltinDequantize, kTfLiteBuiltinStridedSlice, kTfLiteBuiltinSplit,
                              kTfLiteBuiltinConcatenation};
  Node *node = &graph->nodes[random_number((uint32_t)graph->node_count)];
  Tensor *tensor = &graph->tensors[random_number((uint32_t)graph->tensor_count)];
  // Often one of those that change where things lie, or a tensor of theirs.
  if (random_number(2)) {
    node = node_of(graph, kinds[random_number(sizeof kinds / sizeof *kinds)]);
    const int place = (int)random_number((uint32_t)(node->input_count + node->output_count) + 1);
    const int index = place < node->input_count                        ? node->inputs[place]
                      : place < node->input_count + node->output_count ? node->outputs[place - node->input_count]
                                                                       : -1;
    if (index >= 0 && index < graph->tensor_count) tensor = &graph->tensors[index];
  }
  if (random_number(2))
    change_tensor(graph, tensor);
  else
    change_node(graph, node);
}
