// The external delegate: its options, and the node that takes the place of what was claimed.

#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "graph.h"

#define EXPORT __attribute__((visibility("default")))

// The operators of one part.
typedef struct Profile {
  struct Profile *next;
  size_t count;
  Profiled operators[];
} Profile;

typedef struct {
  TfLiteDelegate delegate;  // first: the interpreter gets a pointer to it
  const Kernels *kernels;
  int threads;  // 0 for the interpreter's number
  bool lce_only;
  const Tensors *tensors;  // of the graph that is being prepared
  bool profiles;
  Profile *profile;  // of all parts; it outlives them
} Delegate;

typedef struct {
  Graph *graph;
  Threads *threads;
} Part;

static void part_free(TfLiteContext *context, void *buffer) {
  (void)context;
  Part *part = buffer;
  if (!part) return;
  graph_free(part->graph);
  threads_free(part->threads);
  free(part);
}

// Room for a profile of so many operators. NULL where memory is short.
static Profiled *profile_begin(Delegate *delegate, size_t count) {
  Profile *made = calloc(1, sizeof *made + count * sizeof *made->operators);
  if (!made) return NULL;
  made->next = delegate->profile, made->count = count;
  delegate->profile = made;
  return made->operators;
}

static void *part_init(TfLiteContext *context, const char *buffer, size_t length) {
  (void)length;
  const TfLiteDelegateParams *params = (const TfLiteDelegateParams *)(const void *)buffer;
  Delegate *delegate = (Delegate *)(void *)params->delegate;
  Profiled *profile = delegate->profiles ? profile_begin(delegate, (size_t)params->nodes_to_replace->size) : NULL;
  if (delegate->profiles && !profile) return NULL;
  Part *part = calloc(1, sizeof *part);
  if (!part) return NULL;
  const int threads = delegate->threads ? delegate->threads : context->recommended_num_threads;
  part->threads = threads_create(threads < 1 ? 1 : threads > 64 ? 64 : threads);
  if (part->threads) part->graph = graph_create(delegate->tensors, params, delegate->kernels, part->threads, profile);
  if (part->graph) return part;
  part_free(context, part);
  return NULL;
}

static TfLiteStatus part_prepare(TfLiteContext *context, TfLiteNode *node) {
  const Part *part = node->user_data;
  if (!part) return kTfLiteError;
  return graph_prepare(part->graph, context);
}

static TfLiteStatus part_invoke(TfLiteContext *context, TfLiteNode *node) {
  const Part *part = node->user_data;
  return part ? graph_run(part->graph, context) : kTfLiteError;
}

static TfLiteStatus delegate_prepare(TfLiteContext *context, TfLiteDelegate *base) {
  Delegate *delegate = (Delegate *)(void *)base;
  Claimed claimed;
  const bool leaves_conv = !delegate->kernels->conv;
  TfLiteStatus status = claim_nodes(context, delegate->lce_only, leaves_conv, &claimed) ? kTfLiteOk : kTfLiteError;
  if (status == kTfLiteOk && claimed.nodes->size) {
    const TfLiteRegistration registration = {
        .init = part_init,
        .free = part_free,
        .prepare = part_prepare,
        .invoke = part_invoke,
        .custom_name = "ftbnn-runtime",
        .version = 1,
    };
    // Parts are made within this call.
    delegate->tensors = &claimed.tensors;
    status = context->ReplaceNodeSubsetsWithDelegateKernels(context, registration, claimed.nodes, base);
    delegate->tensors = NULL;
  }
  claimed_free(&claimed);
  return status;
}

EXPORT TfLiteDelegate *tflite_plugin_create_delegate(const char *const *keys, const char *const *values, size_t count,
                                                     void (*report)(const char *)) {
  const char *problem = NULL, *isa = NULL;
  Delegate *delegate = calloc(1, sizeof *delegate);
  if (!delegate) return NULL;
  for (size_t i = 0; i < count; ++i) {
    if (strcmp(keys[i], "num_threads") == 0) {
      char *end;
      const long threads = strtol(values[i], &end, 10);
      if (*end || end == values[i] || threads < 1 || threads > 64) problem = "ftbnn-runtime: num_threads is 1 to 64";
      delegate->threads = (int)threads;
    } else if (strcmp(keys[i], "isa") == 0) {
      isa = values[i];
    } else if (strcmp(keys[i], "claim") == 0) {
      delegate->lce_only = strcmp(values[i], "lce") == 0;
      if (!delegate->lce_only && strcmp(values[i], "all") != 0) problem = "ftbnn-runtime: claim is all or lce";
    } else if (strcmp(keys[i], "profile") == 0) {
      delegate->profiles = strcmp(values[i], "1") == 0;
      if (!delegate->profiles && strcmp(values[i], "0") != 0) problem = "ftbnn-runtime: profile is 0 or 1";
    } else {
      problem = "ftbnn-runtime: options are num_threads, isa, claim and profile";
    }
  }
  delegate->kernels = kernels_choose(isa);
  if (!delegate->kernels) problem = "ftbnn-runtime: this processor has no such isa; see ftbnn_isa()";
  if (problem) {
    if (report) report(problem);
    free(delegate);
    return NULL;
  }
  delegate->delegate.data_ = delegate;
  delegate->delegate.Prepare = delegate_prepare;
  // Without this flag the interpreter prepares its own operators first, and knows none of LCE's.
  delegate->delegate.flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  return &delegate->delegate;
}

EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate *base) {
  Delegate *delegate = (Delegate *)(void *)base;
  if (!delegate) return;
  for (Profile *next, *profile = delegate->profile; profile; profile = next) {
    next = profile->next;
    free(profile);
  }
  free(delegate);
}

// Copies what a delegate with the option `profile` has measured since the last call, at most `room` operators. Gives
// how many there are.
EXPORT size_t ftbnn_profile(TfLiteDelegate *base, Profiled *operators, size_t room) {
  size_t count = 0;
  for (Profile *profile = ((Delegate *)(void *)base)->profile; profile; profile = profile->next) {
    for (size_t i = 0; i < profile->count; ++i, ++count) {
      if (count < room) operators[count] = profile->operators[i];
      profile->operators[i].nanoseconds = 0;
    }
  }
  return count;
}

// The kernels that are taken unless `isa` says others.
EXPORT const char *ftbnn_isa(void) { return kernels_choose(NULL)->name; }
