#include <string.h>

#include "compile.h"

#define ALIGNMENT 64

static Value *value_of_map(const Map *map) { return (Value *)((char *)map - offsetof(Value, map)); }

static Value *root_value(Graph *graph, const Map *map) {
  int offset;
  return &graph->values[root_of(graph, (int)(value_of_map(map) - graph->values), &offset)];
}

// A value like `map`, not part of any other.
static int twin(Graph *graph, const Map *map) {
  const int value = value_for(graph, -1);
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
    // A frame may be a thousand times as wide as its map.
    const int64_t row = ((int64_t)root->map.shape.w + root->left + root->right) * map->pitch;
    if (row * (int64_t)element(map->type) > MAX_BYTES) return false;
    map->row = (int)row;
    map->first = (int64_t)root->top * map->row + (int64_t)root->left * map->pitch + offset;
    if (value->root == i) {
      const int64_t rows = (int64_t)map->shape.h + root->top + root->bottom;
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

// Whether two roots are alike, and what is outside of them is in the same places.
static bool is_like(const Value *a, const Value *b) {
  return a->map.type == b->map.type && a->bytes == b->bytes && a->map.row == b->map.row &&
         a->map.pitch == b->map.pitch && a->top == b->top && a->left == b->left && a->bottom == b->bottom &&
         a->right == b->right;
}

// Whether a step adds `other` to what it writes as `value`, both whole: pixel by pixel the sum may take its place.
static bool may_replace(Graph *graph, const Value *value, const Value *other) {
  if (other->last_step != value->first_step) return false;
  const Step *step = &graph->steps[value->first_step];
  return step->kind == NODE_BCONV && !step->copies && step->other && step->out && value_of_map(step->out) == value &&
         value_of_map(step->other) == other && is_like(value, other);
}

static size_t room_of(const Value *value) { return (value->bytes + SLACK + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static bool is_placed(const Graph *graph, int i) {
  const Value *value = &graph->values[i];
  return value->root == i && !value->is_external && value->last_step >= 0;
}

// Whether the root `i` can lie at `place` beside the roots before it; where not, the place behind one that is in its
// way.
static bool is_free(Graph *graph, int i, size_t place, size_t *behind) {
  const Value *value = &graph->values[i];
  for (int j = 0; j < i; ++j) {
    if (!is_placed(graph, j)) continue;
    const Value *other = &graph->values[j];
    const size_t end = other->place + room_of(other);
    if (place >= end || other->place >= place + room_of(value)) continue;
    const bool apart = other->last_step < value->first_step || value->last_step < other->first_step;
    const bool mixed = value->map.type == kTfLiteInt32 || other->map.type == kTfLiteInt32;
    if (other->place == place && (may_replace(graph, value, other) || may_replace(graph, other, value))) continue;
    if (apart && (!mixed || (other->place == place && is_like(value, other)))) continue;
    *behind = end;
    return false;
  }
  return true;
}

// Places of roots in the arena. Maps whose lives do not overlap may share one; packed ones only with their like, so
// that frames, which are written once, stay. A sum first tries the place of what is added: that is in the caches.
static bool place_roots(Graph *graph) {
  for (int i = 0; i < graph->value_count; ++i) {
    if (!is_placed(graph, i)) continue;
    Value *value = &graph->values[i];
    size_t place = 0, behind;
    bool is_found = false;
    for (int j = 0; j < i && !is_found; ++j) {
      if (!is_placed(graph, j) || !may_replace(graph, value, &graph->values[j])) continue;
      place = graph->values[j].place;
      is_found = is_free(graph, i, place, &behind);
    }
    if (!is_found) place = 0;
    while (!is_found && !(is_found = is_free(graph, i, place, &behind))) place = behind;
    value->place = place;
    if (place + room_of(value) > graph->arena_bytes) graph->arena_bytes = place + room_of(value);
    if (graph->arena_bytes > (size_t)MAX_BYTES) return false;
  }
  graph->arena = prepare_bytes(&graph->pieces, graph->arena_bytes + ALIGNMENT);
  return graph->arena != NULL;
}

bool memory_place(Graph *graph) { return place_borders(graph) && lay_out(graph) && place_roots(graph); }

void memory_point(Graph *graph, int picture) {
  for (int i = 0; i < graph->value_count; ++i) {
    Value *value = &graph->values[i];
    int offset;
    const Value *root = &graph->values[root_of(graph, i, &offset)];
    if (root->is_external) {
      const size_t bytes = root->bytes * (size_t)picture;
      value->map.data = (char *)tensor_at(&graph->tensors, root->tensor)->data + bytes;
    } else {
      value->map.data = graph->arena + root->place;
    }
  }
}
