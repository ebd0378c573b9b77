// The options of LCE's operators, which stand in the flatbuffer as a FlexBuffer map of small integers.

#ifndef FTBNN_OPTIONS_H
#define FTBNN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Reads one integer by its name. False where the map has none, the buffer is damaged, or the number is no int32_t.
bool options_int(const void *buffer, size_t bytes, const char *name, int *value);

#endif
