#include "threads.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct Threads {
  int count;
  pthread_t *started;
  pthread_mutex_t mutex;
  pthread_cond_t begins, ends;
  unsigned round;  // of work
  int waiting;     // threads that are not done with it
  bool closes;
  int items, next;
  void (*work)(void *context, int first, int last);
  void *context;
};

// The part number `part` of all items.
static void run_part(Threads *threads, int part) {
  const int first = (int)((long long)threads->items * part / threads->count);
  const int last = (int)((long long)threads->items * (part + 1) / threads->count);
  if (first < last) threads->work(threads->context, first, last);
}

static void *loop(void *argument) {
  Threads *threads = argument;
  unsigned round = 0;
  pthread_mutex_lock(&threads->mutex);
  const int part = ++threads->next;
  for (;;) {
    while (threads->round == round && !threads->closes) pthread_cond_wait(&threads->begins, &threads->mutex);
    if (threads->closes) break;
    round = threads->round;
    pthread_mutex_unlock(&threads->mutex);
    run_part(threads, part);
    pthread_mutex_lock(&threads->mutex);
    if (--threads->waiting == 0) pthread_cond_signal(&threads->ends);
  }
  pthread_mutex_unlock(&threads->mutex);
  return NULL;
}

Threads *threads_create(int count) {
  Threads *threads = calloc(1, sizeof *threads);
  if (!threads) return NULL;
  threads->count = 1;
  pthread_mutex_init(&threads->mutex, NULL);
  pthread_cond_init(&threads->begins, NULL);
  pthread_cond_init(&threads->ends, NULL);
  threads->started = calloc((size_t)count, sizeof *threads->started);
  if (!threads->started) {
    threads_free(threads);
    return NULL;
  }
  // One that cannot be started leaves its part to the others.
  while (threads->count < count && pthread_create(&threads->started[threads->count], NULL, loop, threads) == 0)
    ++threads->count;
  return threads;
}

void threads_free(Threads *threads) {
  if (!threads) return;
  pthread_mutex_lock(&threads->mutex);
  threads->closes = true;
  pthread_cond_broadcast(&threads->begins);
  pthread_mutex_unlock(&threads->mutex);
  for (int i = 1; i < threads->count; ++i) pthread_join(threads->started[i], NULL);
  pthread_cond_destroy(&threads->ends);
  pthread_cond_destroy(&threads->begins);
  pthread_mutex_destroy(&threads->mutex);
  free(threads->started);
  free(threads);
}

void threads_run(Threads *threads, int items, void (*work)(void *context, int first, int last), void *context) {
  if (threads->count == 1 || items < 2) {
    if (items > 0) work(context, 0, items);
    return;
  }
  pthread_mutex_lock(&threads->mutex);
  threads->items = items, threads->work = work, threads->context = context;
  threads->waiting = threads->count - 1;
  ++threads->round;
  pthread_cond_broadcast(&threads->begins);
  pthread_mutex_unlock(&threads->mutex);
  run_part(threads, 0);
  pthread_mutex_lock(&threads->mutex);
  while (threads->waiting) pthread_cond_wait(&threads->ends, &threads->mutex);
  pthread_mutex_unlock(&threads->mutex);
}
