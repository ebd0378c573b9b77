// What all rooms of the library share: messages, checked sizes, and the packed form of signs.

#ifndef FTBNN_COMMON_H
#define FTBNN_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A word holds the signs of 32 channels, the first one in its lowest bit; 1 stands for a negative value.
enum { WORD = 32 };
// Filters that a kernel takes together.
enum { BLOCK = 16 };
// A multiple of the pixels that any of them takes together.
enum { TILE_PIXELS = 8 };
// Sizes beyond these are refused: no product of a few of them overflows int64_t, and few overflow int.
enum { MAX_SIDE = 1 << 14, MAX_CHANNELS = 1 << 16, MAX_KERNEL = 1 << 8 };
// Vectors may read and write this many bytes behind the last element.
enum { SLACK = 64 };
// Most bytes of one tensor.
#define MAX_BYTES ((int64_t)1 << 30)

static inline int words_of(int channels) { return (channels + WORD - 1) / WORD; }

static inline int round_up(int value, int step) { return (value + step - 1) / step * step; }

static inline int min_int(int a, int b) { return a < b ? a : b; }

static inline int max_int(int a, int b) { return a > b ? a : b; }

#endif
