// A pool of threads. They look for the next step for a moment, then they sleep: on busy cores that leaves time to
// others.

#ifndef FTBNN_THREADS_H
#define FTBNN_THREADS_H

typedef struct Threads Threads;

// `count` threads, the caller's among them. NULL where they cannot be started.
Threads *threads_create(int count);

void threads_free(Threads *threads);

// Several calls of `threads_run` follow.
void threads_wake(Threads *threads);

// Calls work(context, first, last) on parts of 0 to `items`, and returns when all are done. Parts begin at multiples of
// `grain`.
void threads_run(Threads *threads, int items, int grain, void (*work)(void *context, int first, int last),
                 void *context);

#endif
