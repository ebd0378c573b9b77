// Stems of 7 columns and stride 2 by Winograd's minimal filtering along rows: 13 products where 4 outputs take 28.
//
// The taps in even places see every second pixel, those in odd places the others: two filters of 4 and 3 taps with
// stride 1. Cook and Toom's algorithm evaluates both, and the pixels, as polynomials at the same points 0, 1, -1, 2,
// -2, 1/2 and infinity (the filter of 3 taps needs no 1/2), so their products are added up point by point, over the
// rows of the window and its channels too. The sums are then interpolated, once for all. Rounding errors are about
// twice those of plain sums.

#ifndef FTBNN_STEM_H
#define FTBNN_STEM_H

#include "prepare.h"

enum { STEM_COLUMNS = 7, STEM_STRIDE = 2, STEM_ROWS = 8, STEM_CHANNELS = 4 };
enum { STEM_POINTS = 7, STEM_EVEN = 7, STEM_ODD = 6, STEM_PRODUCTS = STEM_EVEN + STEM_ODD };

// Whether a convolution is one.
bool stem_fits(const Window *w, int channels, int filters);

// A convolution's filters at each point: [block of 16 filters][row][channel][product][16 filters]. NULL where memory is
// short.
float *stem_weights(Pieces *pieces, const Tensors *tensors, int weights, int filters, int rows, int channels);

#endif
