#define _GNU_SOURCE  // sched_getcpu

#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// How often a thread looks for the next step before it sleeps: some 50 microseconds, in which it mostly begins. Not
// longer: where cores are busy, whoever looks keeps others from working. To wake a thread takes as long as a step, so
// one that sleeps does so until the next inference.
enum { LOOKS = 1500 };
// How often the caller looks whether the others are done. Where they still are not, one was stopped in the middle of
// its part: the caller sleeps. What it waited for is set against the time that threads worked together since they last
// waited. Where that is not worth it, cores are busy, and the caller works alone for a while: for twice as long each
// time, in nanoseconds.
enum { LONG = 8000, WORTH = 2, SHORTEST_ALONE = 1000000, LONGEST_ALONE = 64000000 };
// Parts of a step for each thread, where there is much to do: who is held up does fewer.
enum { PARTS = 4 };

typedef struct {
  Threads *threads;
  pthread_t thread;
  // For the scheduler: its number, and the core that it was last seen on; 0 and -1 while they are not known.
  pid_t number;
  int core;
  bool moves;
  cpu_set_t cores;  // that it may run on
} Thread;

struct Threads {
  int count;
  pid_t process;  // that has them: not one that was forked
  Thread *started;
  pthread_mutex_t mutex;
  pthread_cond_t begins, ends;
  bool closes;
  atomic_flag is_used;                        // by a caller: a second one at the same time works alone
  int sleeping;                               // threads that wait for `begins`
  unsigned wakes;                             // how often they were woken
  bool main_sleeps;                           // for `ends`
  int64_t together, next_alone, alone_until;  // ns
  // What threads write while others look has a cache line of its own.
  // The number of the step, and the first and the last part that nobody has taken yet. A part that is taken keeps the
  // step from ending, so what follows here stays as it is until the part is done.
  _Alignas(64) atomic_uint_fast64_t state;
  _Alignas(64) atomic_int undone;  // parts
  _Alignas(64) int items, grain, parts;
  void (*work)(void *context, int first, int last);
  void *context;
};

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void pause_a_moment(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// 32 bits for the step, 16 for the first part, 16 for the one behind the last.
static uint_fast64_t state_of(uint32_t step, uint32_t begin, uint32_t end) {
  return (uint_fast64_t)step << 32 | begin << 16 | end;
}
static uint32_t step_of(uint_fast64_t state) { return (uint32_t)(state >> 32); }
static uint32_t begin_of(uint_fast64_t state) { return (uint32_t)(state >> 16 & 0xffff); }
static uint32_t end_of(uint_fast64_t state) { return (uint32_t)(state & 0xffff); }

// Takes parts of the step `step` as long as there are any: the caller of the pool the first ones, others the last ones,
// so that a thread mostly reads what it has written.
static void take_parts(Threads *threads, uint32_t step, bool from_begin) {
  for (;;) {
    uint_fast64_t state = atomic_load(&threads->state), next;
    do {
      if (step_of(state) != step || begin_of(state) == end_of(state)) return;
      next = from_begin ? state_of(step, begin_of(state) + 1, end_of(state))
                        : state_of(step, begin_of(state), end_of(state) - 1);
    } while (!atomic_compare_exchange_weak(&threads->state, &state, next));
    const int64_t part = from_begin ? begin_of(state) : end_of(state) - 1;
    const int64_t grains = (threads->items + threads->grain - 1) / threads->grain;
    const int first = (int)(grains * part / threads->parts) * threads->grain;
    const int64_t end = (grains * (part + 1) / threads->parts) * threads->grain;
    threads->work(threads->context, first, end < threads->items ? (int)end : threads->items);
    if (atomic_fetch_sub(&threads->undone, 1) == 1) {
      pthread_mutex_lock(&threads->mutex);
      if (threads->main_sleeps) pthread_cond_signal(&threads->ends);
      pthread_mutex_unlock(&threads->mutex);
    }
  }
}

static void *loop(void *argument) {
  Thread *self = argument;
  Threads *threads = self->threads;
  uint32_t step = 0;
  self->number = (pid_t)syscall(SYS_gettid);
  for (;;) {
    for (int i = 0; i < LOOKS && step_of(atomic_load(&threads->state)) == step; ++i) pause_a_moment();
    if (step_of(atomic_load(&threads->state)) == step) {
      pthread_mutex_lock(&threads->mutex);
      ++threads->sleeping;
      self->core = sched_getcpu();
      const unsigned wakes = threads->wakes;
      while (threads->wakes == wakes && !threads->closes) pthread_cond_wait(&threads->begins, &threads->mutex);
      --threads->sleeping;
      const bool closes = threads->closes;
      pthread_mutex_unlock(&threads->mutex);
      if (closes) return NULL;
    }
    const uint32_t next = step_of(atomic_load(&threads->state));
    if (next != step) take_parts(threads, step = next, false);
  }
}

Threads *threads_create(int count) {
  void *place;
  if (posix_memalign(&place, 64, sizeof(Threads)) != 0) return NULL;
  Threads *threads = memset(place, 0, sizeof *threads);
  threads->count = 1, threads->next_alone = SHORTEST_ALONE, threads->process = getpid();
  pthread_mutex_init(&threads->mutex, NULL);
  pthread_cond_init(&threads->begins, NULL);
  pthread_cond_init(&threads->ends, NULL);
  threads->started = calloc((size_t)count, sizeof *threads->started);
  if (!threads->started) {
    threads_free(threads);
    return NULL;
  }
  // One that cannot be started leaves its part to the others.
  while (threads->count < count) {
    Thread *thread = &threads->started[threads->count];
    *thread = (Thread){.threads = threads, .core = -1};
    if (pthread_create(&thread->thread, NULL, loop, thread) != 0) break;
    ++threads->count;
  }
  return threads;
}

void threads_free(Threads *threads) {
  if (!threads) return;
  // A forked process has none of them, and would wait for those that slept for ever.
  if (threads->process == getpid()) {
    pthread_mutex_lock(&threads->mutex);
    threads->closes = true;
    pthread_cond_broadcast(&threads->begins);
    pthread_mutex_unlock(&threads->mutex);
    for (int i = 1; i < threads->count; ++i) pthread_join(threads->started[i].thread, NULL);
    pthread_cond_destroy(&threads->ends);
    pthread_cond_destroy(&threads->begins);
    pthread_mutex_destroy(&threads->mutex);
  }
  free(threads->started);
  free(threads);
}

// Wakes the threads that sleep. One that slept on the caller's core would mostly wait there for the caller to end,
// where cores share no near cache: that core is forbidden to it for a moment.
static void wake_elsewhere(Threads *threads) {
  const int core = sched_getcpu();
  for (int i = 1; i < threads->count; ++i) {
    Thread *thread = &threads->started[i];
    thread->moves = thread->core == core && core >= 0 &&
                    sched_getaffinity(thread->number, sizeof thread->cores, &thread->cores) == 0;
    if (!thread->moves) continue;
    cpu_set_t others = thread->cores;
    CPU_CLR(core, &others);
    thread->moves = sched_setaffinity(thread->number, sizeof others, &others) == 0;
  }
  pthread_cond_broadcast(&threads->begins);
  for (int i = 1; i < threads->count; ++i) {
    const Thread *thread = &threads->started[i];
    if (thread->moves) sched_setaffinity(thread->number, sizeof thread->cores, &thread->cores);
  }
}

void threads_wake(Threads *threads) {
  // A forked process has the caller alone. The mutex stays locked there for ever if a thread held it just then.
  if (threads->process != getpid()) threads->count = 1;
  // Whoever works alone needs no others.
  if (threads->count == 1 || now() < threads->alone_until) return;
  pthread_mutex_lock(&threads->mutex);
  ++threads->wakes;
  if (threads->sleeping) wake_elsewhere(threads);
  pthread_mutex_unlock(&threads->mutex);
}

void threads_run(Threads *threads, int items, int grain, void (*work)(void *context, int first, int last),
                 void *context) {
  const int grains = (items + grain - 1) / grain;
  if (threads->count == 1 || grains < 2 || atomic_flag_test_and_set(&threads->is_used)) {
    if (items > 0) work(context, 0, items);
    return;
  }
  const int64_t begin = now();
  if (begin < threads->alone_until) {
    work(context, 0, items);
    atomic_flag_clear(&threads->is_used);
    return;
  }
  const int most = grains >= 8 * PARTS * threads->count ? PARTS * threads->count : threads->count;
  threads->items = items, threads->grain = grain, threads->work = work, threads->context = context;
  threads->parts = grains < most ? grains : most;
  atomic_store(&threads->undone, threads->parts);
  const uint32_t step = step_of(atomic_load(&threads->state)) + 1;
  atomic_store(&threads->state, state_of(step, 0, (uint32_t)threads->parts));
  take_parts(threads, step, true);
  for (int i = 0; i < LONG && atomic_load(&threads->undone); ++i) pause_a_moment();
  const int64_t end = now();
  threads->together += end - begin;
  if (atomic_load(&threads->undone)) {
    pthread_mutex_lock(&threads->mutex);
    threads->main_sleeps = true;
    while (atomic_load(&threads->undone)) pthread_cond_wait(&threads->ends, &threads->mutex);
    threads->main_sleeps = false;
    pthread_mutex_unlock(&threads->mutex);
    const int64_t waited = now() - end;
    if (threads->together > WORTH * waited) {
      threads->next_alone = SHORTEST_ALONE;
    } else {
      threads->alone_until = end + waited + threads->next_alone;
      if (threads->next_alone < LONGEST_ALONE) threads->next_alone *= 2;
    }
    threads->together = 0;
  }
  atomic_flag_clear(&threads->is_used);
}
