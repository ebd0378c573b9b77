// What steps.c and steps_float.c share: places in maps, and what a thread works on.

#ifndef FTBNN_WORK_H
#define FTBNN_WORK_H

#include "steps.h"

typedef struct {
  const Step *step;
  const Kernels *kernels;
  const BConv *conv;
  BConvIO io;
} Work;

static inline const float *floats_at(const Map *map, int y, int x) {
  return (const float *)map->data + map->first + (int64_t)y * map->row + (int64_t)x * map->pitch;
}

static inline float *floats_to(const Map *map, int y, int x) { return (float *)floats_at(map, y, x); }

static inline uint32_t *words_at(const Map *map, int y, int x) {
  return (uint32_t *)map->data + map->first + (int64_t)y * map->row + (int64_t)x * map->pitch;
}

static inline int8_t *bytes_at(const Map *map, int y, int x) {
  return (int8_t *)map->data + map->first + (int64_t)y * map->row + (int64_t)x * map->pitch;
}

// The taps of a window at `place` that lie inside of `side`: `first` to `last` - 1.
static inline void inside(int place, int stride, int before, int dilation, int kernel, int side, int *first,
                          int *last) {
  const int begin = place * stride - before;
  *first = begin < 0 ? (-begin + dilation - 1) / dilation : 0;
  *last = begin >= side ? 0 : min_int(kernel, (side - 1 - begin) / dilation + 1);
}

// Rows of the output, or filters, `first` to `last` - 1. The context is a Work.
void window_rows(void *context, int first, int last);
void stem_rows(void *context, int first, int last);
void dense_filters(void *context, int first, int last);

#endif
