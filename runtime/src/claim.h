// Which of a flatbuffer's operators the delegate takes.

#ifndef FTBNN_CLAIM_H
#define FTBNN_CLAIM_H

#include "tensors.h"

typedef struct {
  TfLiteIntArray *nodes;  // in order of execution
  Tensors tensors;        // with the constants that these nodes know; one part may make what another one reads
} Claimed;

// LCE's operators and, unless `lce_only`, all that hangs on them and can be taken; float convolutions too, unless
// `leaves_conv`. False, after a message, where one of LCE's does not fit or memory is short. To be freed in any case.
bool claim_nodes(TfLiteContext *context, bool lce_only, bool leaves_conv, Claimed *claimed);

void claimed_free(Claimed *claimed);

#endif
