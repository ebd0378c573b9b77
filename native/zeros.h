// Memory for vectors.

#ifndef FTBNN_ZEROS_H
#define FTBNN_ZEROS_H

#include <stdlib.h>
#include <string.h>

#include "common.h"

// Zeros that begin where a line of the cache begins, with SLACK behind them. NULL where there is no memory.
static inline void *zeros(size_t bytes) {
  void *place;
  return posix_memalign(&place, 64, bytes + SLACK) == 0 ? memset(place, 0, bytes + SLACK) : NULL;
}

#endif
