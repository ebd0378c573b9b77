// Which of a flatbuffer's operators the delegate takes.

#ifndef FTBNN_CLAIM_H
#define FTBNN_CLAIM_H

#include "tflite.h"

// LCE's operators and, unless `lce_only`, all that hangs on them and can be taken; float convolutions too, unless
// `leaves_conv`. In order of execution, to be freed.
// NULL, after a message, where one of LCE's does not fit or memory is short.
TfLiteIntArray *claim_nodes(TfLiteContext *context, bool lce_only, bool leaves_conv);

#endif
