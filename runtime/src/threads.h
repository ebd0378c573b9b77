// A pool of threads that sleep between steps. None spins: on a busy machine that would take time from the others.

#ifndef FTBNN_THREADS_H
#define FTBNN_THREADS_H

typedef struct Threads Threads;

// `count` threads, the caller's among them. NULL where they cannot be started.
Threads *threads_create(int count);

void threads_free(Threads *threads);

// Calls work(context, first, last) on parts of 0 to `items`, and returns when all are done.
void threads_run(Threads *threads, int items, void (*work)(void *context, int first, int last), void *context);

#endif
