#include "prepare.h"

#include <stdlib.h>
#include <string.h>

#include "stem.h"

// Borders of a zero-padded map: kinds of pixels by the taps that lie outside.
enum { MAX_CLASSES = 4096 };

void *prepare_bytes(Pieces *pieces, size_t bytes) {
  if (pieces->count == pieces->room) {
    const int room = pieces->room ? 2 * pieces->room : 64;
    void **items = realloc(pieces->items, (size_t)room * sizeof *items);
    if (!items) return NULL;
    pieces->items = items, pieces->room = room;
  }
  void *piece = NULL;
  if (posix_memalign(&piece, 64, bytes + SLACK) != 0) return NULL;
  memset(piece, 0, bytes + SLACK);
  return pieces->items[pieces->count++] = piece;
}

void pieces_free(Pieces *pieces) {
  for (int i = 0; i < pieces->count; ++i) free(pieces->items[i]);
  free(pieces->items);
  *pieces = (Pieces){0};
}

float *prepare_floats(Pieces *pieces, const Tensors *tensors, int tensor, int first, int count) {
  float *floats = prepare_bytes(pieces, (size_t)round_up(count, BLOCK) * sizeof *floats);
  if (floats) tensor_floats(tensors, tensor, first, count, floats);
  return floats;
}

// Of `filters` filters from `first` on: [block of 16 filters][tap and word][16 filters].
static uint32_t *packed_filters(Pieces *pieces, const uint32_t *from, int first, int filters, int words) {
  uint32_t *to = prepare_bytes(pieces, (size_t)round_up(filters, BLOCK) * (size_t)words * sizeof *to);
  for (int filter = 0; to && filter < filters; ++filter) {
    for (int word = 0; word < words; ++word)
      to[((size_t)(filter / BLOCK) * words + word) * BLOCK + filter % BLOCK] =
          from[(size_t)(first + filter) * words + word];
  }
  return to;
}

static void activation_range(TfLiteFusedActivation activation, int products, int *low, int *high) {
  *low = activation == kTfLiteActNone ? -products : activation == kTfLiteActReluN1To1 ? -1 : 0;
  *high = activation == kTfLiteActReluN1To1 ? 1 : activation == kTfLiteActRelu6 ? 6 : products;
  *low = max_int(*low, -products);
  *high = min_int(*high, products);
}

// Scale and bias of twice the number of bits that differ, from those of the sum of products: products - 2 * bits.
static bool prepare_scale(Pieces *pieces, const Tensors *tensors, const Node *node, int first, BConv *conv,
                          const Map *out) {
  float *m = prepare_floats(pieces, tensors, node->inputs->data[2], first, conv->filters);
  float *b = prepare_floats(pieces, tensors, node->inputs->data[3], first, conv->filters);
  if (!m || !b) return false;
  const bool is_int8 = out->type == kTfLiteInt8;
  const double scale = is_int8 ? out->scale : 1, zero = is_int8 ? out->zero_point : 0;
  for (int i = 0; i < conv->filters; ++i) {
    const double multiplier = m[i];
    m[i] = (float)(-multiplier / scale);
    b[i] = (float)((b[i] + conv->products * multiplier) / scale + zero);
  }
  conv->multiplier = m, conv->bias = b;
  return true;
}

bool prepare_bconv(Pieces *pieces, const Tensors *tensors, const Node *node, int slope, Step *step) {
  const int *in = node->inputs->data;
  const TfLiteTensor *filter = tensor_at(tensors, in[1]), *made = tensor_at(tensors, node->outputs->data[0]);
  const int *f = filter->dims->data;
  const int words = f[1] * f[2] * f[3], filters = f[0] / node->groups;
  const int products = f[1] * f[2] * (node->channels_in / node->groups);
  const Map out = {.type = made->type, .scale = made->params.scale, .zero_point = made->params.zero_point};
  step->groups = node->groups;
  step->convs = prepare_bytes(pieces, (size_t)node->groups * sizeof *step->convs);
  if (!step->convs) return false;
  for (int group = 0; group < node->groups; ++group) {
    BConv *conv = &step->convs[group];
    const int first = group * filters;
    conv->filters = filters;
    conv->products = products;
    conv->pads_with_zero = node->pads_with_zero;
    conv->weights = packed_filters(pieces, filter->data, first, filters, words);
    if (!conv->weights) return false;
    int low, high;
    activation_range(node->activation, products, &low, &high);
    conv->clamp_min = products - high, conv->clamp_max = products - low;
    conv->is_clamped = node->activation != kTfLiteActNone;
    conv->relu = step->activation == kTfLiteActRelu;
    if (slope >= 0) {
      conv->slope = prepare_floats(pieces, tensors, slope, first, filters);
      if (!conv->slope) return false;
    }
    if (made->type == kTfLiteInt32) {
      conv->kind = OUT_THRESHOLD;
      int32_t *threshold = prepare_bytes(pieces, (size_t)round_up(filters, BLOCK) * sizeof *threshold);
      if (!threshold) return false;
      memcpy(threshold, (const int32_t *)tensor_at(tensors, in[4])->data + first, (size_t)filters * sizeof *threshold);
      conv->threshold = threshold;
      continue;
    }
    conv->kind = made->type == kTfLiteInt8 ? OUT_INT8 : OUT_FLOAT;
    if (!prepare_scale(pieces, tensors, node, first, conv, &out)) return false;
  }
  return true;
}

// Float weights [tap][channel], each row padded to whole blocks.
static float *depthwise_weights(Pieces *pieces, const Tensors *tensors, int weights, int taps, int channels) {
  const int row = round_up(channels, BLOCK);
  float *to = prepare_bytes(pieces, (size_t)taps * row * sizeof *to);
  if (to && tensor_is_constant(tensors, weights, kTfLiteFloat32, 1)) {
    // A MUL by one factor for all.
    tensor_floats(tensors, weights, 0, 1, to);
    for (int channel = 1; channel < channels; ++channel) to[channel] = to[0];
    return to;
  }
  for (int tap = 0; to && tap < taps; ++tap)
    tensor_floats(tensors, weights, (int64_t)tap * channels, channels, to + (size_t)tap * row);
  return to;
}

// [block of 16 filters][tap][channel][16 filters] of [filter][tap][channel].
static float *conv_weights(Pieces *pieces, const Tensors *tensors, int weights, int filters, int values) {
  float *to = prepare_bytes(pieces, (size_t)round_up(filters, BLOCK) * values * sizeof *to);
  float *row = malloc((size_t)values * sizeof *row);
  for (int filter = 0; to && row && filter < filters; ++filter) {
    tensor_floats(tensors, weights, (int64_t)filter * values, values, row);
    for (int value = 0; value < values; ++value)
      to[((size_t)(filter / BLOCK) * values + value) * BLOCK + filter % BLOCK] = row[value];
  }
  const bool is_made = row != NULL;
  free(row);
  return is_made ? to : NULL;
}

// The same of filters of 8 bits, and their scales.
static bool prepare_dense(Pieces *pieces, const Tensors *tensors, int weights, Step *step) {
  const int channels = step->in->shape.c, filters = step->out->shape.c;
  const int8_t *from = tensor_bytes(tensors, weights, filters, channels);
  step->bytes = prepare_bytes(pieces, (size_t)round_up(filters, BLOCK) * channels);
  step->scale = prepare_bytes(pieces, (size_t)round_up(filters, BLOCK) * sizeof *step->scale);
  if (!step->bytes || !step->scale) return false;
  for (int filter = 0; filter < filters; ++filter) {
    step->scale[filter] = tensor_scale(tensors, weights, filter);
    for (int channel = 0; channel < channels; ++channel)
      step->bytes[((size_t)(filter / BLOCK) * channels + channel) * BLOCK + filter % BLOCK] =
          from[(size_t)filter * channels + channel];
  }
  return true;
}

bool prepare_step(Pieces *pieces, const Tensors *tensors, const Node *node, const Kernels *kernels, Step *step) {
  const int *in = node->inputs->data;
  if (node->kind == NODE_PRELU) {
    step->slope = prepare_floats(pieces, tensors, in[1], 0, step->in->shape.c);
    return step->slope != NULL;
  }
  if (node->kind != NODE_DEPTHWISE && node->kind != NODE_CONV && node->kind != NODE_DENSE) return true;
  const int channels = step->in->shape.c, filters = step->out->shape.c;
  const int taps = node->window.kernel_h * node->window.kernel_w;
  bool is_made = true;
  step->is_stem = node->kind == NODE_CONV && kernels->stem && stem_fits(&node->window, channels, filters);
  if (node->kind == NODE_DENSE)
    is_made = prepare_dense(pieces, tensors, in[1], step);
  else if (step->is_stem)
    step->weights = stem_weights(pieces, tensors, in[1], filters, node->window.kernel_h, channels);
  else
    step->weights = node->kind == NODE_DEPTHWISE ? depthwise_weights(pieces, tensors, in[1], taps, channels)
                                                 : conv_weights(pieces, tensors, in[1], filters, taps * channels);
  const bool has_bias = node->inputs->size == 3 && in[2] >= 0;
  step->bias = has_bias ? prepare_floats(pieces, tensors, in[2], 0, filters)
                        : prepare_bytes(pieces, (size_t)round_up(filters, BLOCK) * sizeof(float));
  return is_made && (step->weights || step->bytes) && step->bias;
}

// For each place of a window: the first tap inside and the one behind the last, as a class of its own for each pair.
static int classes_of(int outputs, int stride, int before, int dilation, int kernel, int side, int *of,
                      int (*pairs)[2]) {
  int count = 0;
  for (int i = 0; i < outputs; ++i) {
    const int begin = i * stride - before;
    int first = 0, last = kernel;
    while (first < kernel && begin + first * dilation < 0) ++first;
    while (last > first && begin + (last - 1) * dilation >= side) --last;
    int found = 0;
    while (found < count && (pairs[found][0] != first || pairs[found][1] != last)) ++found;
    if (found == count) {
      if (count == MAX_KERNEL) return 0;
      pairs[count][0] = first, pairs[count][1] = last;
      ++count;
    }
    of[i] = found;
  }
  return count;
}

// What zero padding changes: a tap outside reads 1, which is to count nothing.
static bool prepare_borders(Pieces *pieces, const Step *step, BConv *conv, Shape out) {
  const Window *w = &step->window;
  const Shape in = step->in->shape;
  int *rows = prepare_bytes(pieces, (size_t)out.h * sizeof *rows),
      *columns = prepare_bytes(pieces, (size_t)out.w * sizeof *columns);
  int (*y)[2] = prepare_bytes(pieces, MAX_KERNEL * sizeof *y), (*x)[2] = prepare_bytes(pieces, MAX_KERNEL * sizeof *x);
  if (!rows || !columns || !y || !x) return false;
  const int row_count = classes_of(out.h, w->stride_h, w->top, w->dilation_h, w->kernel_h, in.h, rows, y);
  const int column_count = classes_of(out.w, w->stride_w, w->left, w->dilation_w, w->kernel_w, in.w, columns, x);
  const int64_t count = (int64_t)row_count * column_count;
  const int stride = round_up(conv->filters, BLOCK);
  if (count < 1 || count > MAX_CLASSES || count * stride * 4 > MAX_BYTES) return false;
  uint16_t *class_of = prepare_bytes(pieces, (size_t)conv->pixels * sizeof *class_of);
  int32_t *sum = prepare_bytes(pieces, (size_t)(count * stride) * sizeof *sum);
  if (!class_of || !sum) return false;
  for (int i = 0; i < conv->pixels; ++i) class_of[i] = (uint16_t)(rows[i / out.w] * column_count + columns[i % out.w]);
  const int taps = w->kernel_h * w->kernel_w, words = conv->runs * conv->run_words / taps;
  const int channels = conv->products / taps;
  for (int filter = 0; filter < conv->filters; ++filter) {
    const uint32_t *weights = conv->weights + (size_t)(filter / BLOCK) * taps * words * BLOCK + filter % BLOCK;
    for (int tap = 0; tap < taps; ++tap) {
      int negative = 0;
      for (int word = 0; word < words; ++word)
        negative += __builtin_popcount(weights[((size_t)tap * words + word) * BLOCK]);
      for (int each = 0; each < count; ++each) {
        const int *rows_in = y[each / column_count], *columns_in = x[each % column_count];
        const int ky = tap / w->kernel_w, kx = tap % w->kernel_w;
        if (ky < rows_in[0] || ky >= rows_in[1] || kx < columns_in[0] || kx >= columns_in[1])
          sum[(size_t)each * stride + filter] += channels - 2 * negative;
      }
    }
  }
  conv->border_class = class_of, conv->border_sum = sum;
  conv->has_odd_borders = channels % 2 != 0;
  conv->inner_class = -1;
  for (int each = 0; each < count; ++each) {
    const int *rows_in = y[each / column_count], *columns_in = x[each % column_count];
    if (rows_in[0] == 0 && rows_in[1] == w->kernel_h && columns_in[0] == 0 && columns_in[1] == w->kernel_w)
      conv->inner_class = (int)each;
  }
  return true;
}

static const int32_t *prepare_offsets(Pieces *pieces, int h, int w, int64_t row, int64_t column) {
  for (const Offsets *known = pieces->offsets; known; known = known->next) {
    if (known->h == h && known->w == w && known->row == row && known->column == column) return known->at;
  }
  Offsets *made = prepare_bytes(pieces, sizeof *made + (size_t)h * w * sizeof *made->at);
  if (!made) return NULL;
  made->h = h, made->w = w, made->row = row, made->column = column;
  for (int i = 0; i < h * w; ++i) made->at[i] = (int32_t)(i / w * row + i % w * column);
  made->next = pieces->offsets;
  pieces->offsets = made;
  return made->at;
}

bool prepare_places(Pieces *pieces, Step *step) {
  if (step->copies || step->kind != NODE_BCONV) return true;
  const Map *in = step->in, *signs = step->signs;
  const Window *w = &step->window;
  const Shape out = step->out ? step->out->shape : signs->shape;
  const int words = in->shape.c / step->groups;
  // Rows of taps are runs where nothing lies between their words.
  const bool joined = words == in->pitch && w->dilation_w == 1;
  const int runs = joined ? w->kernel_h : w->kernel_h * w->kernel_w;
  int32_t *run_offset = prepare_bytes(pieces, (size_t)runs * sizeof *run_offset);
  const int32_t *offset =
      prepare_offsets(pieces, out.h, out.w, (int64_t)w->stride_h * in->row, (int64_t)w->stride_w * in->pitch);
  if (!run_offset || !offset) return false;
  for (int run = 0; run < runs; ++run) {
    const int ky = joined ? run : run / w->kernel_w, kx = joined ? 0 : run % w->kernel_w;
    run_offset[run] = ky * w->dilation_h * in->row + kx * w->dilation_w * in->pitch;
  }
  for (int group = 0; group < step->groups; ++group) {
    BConv *conv = &step->convs[group];
    conv->pixels = out.h * out.w;
    conv->input_first = in->first - (int64_t)w->top * in->row - (int64_t)w->left * in->pitch + group * words;
    conv->input_offset = offset;
    conv->runs = runs, conv->run_words = joined ? words * w->kernel_w : words;
    conv->run_offset = run_offset;
    if (conv->pads_with_zero && !prepare_borders(pieces, step, conv, out)) return false;
  }
  if (signs) step->signs_offset = prepare_offsets(pieces, out.h, out.w, signs->row, signs->pitch);
  return !signs || step->signs_offset;
}
