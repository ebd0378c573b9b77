#include "claim.h"

#include <stdlib.h>
#include <string.h>

#include "node.h"

typedef struct {
  TfLiteContext *context;
  TfLiteIntArray *plan;
  Tensors *tensors;
  bool leaves_conv;
  bool *can, *is_claimed;  // [place in the plan]
  bool *is_ours;           // [tensor]: a claimed node reads or writes it
} Claim;

static bool node_at(const Claim *claim, int place, TfLiteNode **node, TfLiteRegistration **registration) {
  return claim->context->GetNodeAndRegistration(claim->context, claim->plan->data[place], node, registration) ==
         kTfLiteOk;
}

// A constant that a node of the interpreter's reads too stays with it, and all that read it.
static bool forget_constants(Claim *claim, const TfLiteNode *node) {
  bool forgot = false;
  for (int i = 0; i < node->inputs->size; ++i) {
    const int tensor = node->inputs->data[i];
    if (!tensor_at(claim->tensors, tensor) || claim->tensors->origin[tensor] < 0) continue;
    claim->tensors->origin[tensor] = -1;
    forgot = true;
  }
  return forgot;
}

// Finds out what the delegate can do. False, after a message, where that leaves out one of LCE's operators.
static bool read_plan(Claim *claim) {
  TfLiteContext *context = claim->context;
  TfLiteNode *node;
  TfLiteRegistration *registration;
  Node read;
  for (int i = 0; i < claim->plan->size; ++i) {
    if (!node_at(claim, i, &node, &registration)) return false;
    tensors_learn(claim->tensors, node, registration);
  }
  for (bool again = true; again;) {
    again = false;
    for (int i = 0; i < claim->plan->size; ++i) {
      const char *why = "";
      if (!node_at(claim, i, &node, &registration)) return false;
      claim->can[i] = node_read(claim->tensors, node, registration, &read, &why);
      if (claim->can[i] && claim->leaves_conv && (read.kind == NODE_CONV || read.kind == NODE_DENSE))
        claim->can[i] = false;
      if (claim->can[i]) continue;
      if (node_is_lce(registration)) {
        context->ReportError(context, "ftbnn-runtime: node %d, %s: %s", claim->plan->data[i], registration->custom_name,
                             why);
        return false;
      }
      again = forget_constants(claim, node) || again;
    }
  }
  return true;
}

// Whether a node reads or writes a tensor of a claimed one.
static bool touches(const Claim *claim, const TfLiteNode *node) {
  const TfLiteIntArray *lists[] = {node->inputs, node->outputs};
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < lists[i]->size; ++j) {
      const int tensor = lists[i]->data[j];
      if (tensor_at(claim->tensors, tensor) && claim->is_ours[tensor]) return true;
    }
  }
  return false;
}

static void take(Claim *claim, int place, const TfLiteNode *node) {
  const TfLiteIntArray *lists[] = {node->inputs, node->outputs};
  claim->is_claimed[place] = true;
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < lists[i]->size; ++j) {
      const TfLiteTensor *tensor = tensor_at(claim->tensors, lists[i]->data[j]);
      if (tensor && tensor->allocation_type != kTfLiteMmapRo) claim->is_ours[lists[i]->data[j]] = true;
    }
  }
}

// Takes LCE's operators, and then again and again what touches them.
static void take_all(Claim *claim, bool lce_only) {
  TfLiteNode *node;
  TfLiteRegistration *registration;
  for (int i = 0; i < claim->plan->size; ++i) {
    if (node_at(claim, i, &node, &registration) && node_is_lce(registration)) take(claim, i, node);
  }
  for (bool grows = !lce_only; grows;) {
    grows = false;
    for (int i = 0; i < claim->plan->size; ++i) {
      if (claim->is_claimed[i] || !claim->can[i] || !node_at(claim, i, &node, &registration) || !touches(claim, node))
        continue;
      take(claim, i, node);
      grows = true;
    }
  }
}

bool claim_nodes(TfLiteContext *context, bool lce_only, bool leaves_conv, Claimed *claimed) {
  *claimed = (Claimed){0};
  TfLiteIntArray *now;
  if (context->GetExecutionPlan(context, &now) != kTfLiteOk) return false;
  // The interpreter's own plan does not outlive further calls.
  const size_t count = (size_t)now->size, bytes = sizeof *now + count * sizeof(int);
  Claim claim = {
      .context = context,
      .leaves_conv = leaves_conv,
      .plan = malloc(bytes),
      .tensors = &claimed->tensors,
      .can = calloc(count + 1, sizeof(bool)),
      .is_claimed = calloc(count + 1, sizeof(bool)),
      .is_ours = calloc(context->tensors_size + 1, sizeof(bool)),
  };
  claimed->nodes = calloc(1, bytes);
  bool is_made = tensors_create(claim.tensors, context) && claim.plan && claim.can && claim.is_claimed &&
                 claim.is_ours && claimed->nodes;
  if (is_made) {
    memcpy(claim.plan, now, bytes);
    is_made = read_plan(&claim);
  }
  if (is_made) {
    take_all(&claim, lce_only);
    for (int i = 0; i < claim.plan->size; ++i) {
      if (claim.is_claimed[i]) claimed->nodes->data[claimed->nodes->size++] = claim.plan->data[i];
    }
  }
  free(claim.plan);
  free(claim.can);
  free(claim.is_claimed);
  free(claim.is_ours);
  return is_made;
}

void claimed_free(Claimed *claimed) {
  free(claimed->nodes);
  tensors_free(&claimed->tensors);
}
