// A pass of a training step, by several threads.

#ifndef FTBNN_SPREAD_H
#define FTBNN_SPREAD_H

#include "threads.h"

// Calls pass(argument, first, last) on parts of 0 to `items`, and returns when all are done. Threads are woken for each
// pass: between two of them other operators work, for longer than a thread looks for the next one.
static inline void spread(Threads *threads, int items, void (*pass)(void *argument, int first, int last),
                          void *argument) {
  threads_wake(threads);
  threads_run(threads, items, 1, pass, argument);
}

#endif
