#include "stem.h"

// A filter's taps in even and in odd places at each point.
static const double even_filter[STEM_EVEN][4] = {
    {1.0 / 4, 0, 0, 0},
    {1.0 / 6, 1.0 / 6, 1.0 / 6, 1.0 / 6},
    {1.0 / 18, -1.0 / 18, 1.0 / 18, -1.0 / 18},
    {1.0 / 72, 1.0 / 36, 1.0 / 18, 1.0 / 9},
    {1.0 / 120, -1.0 / 60, 1.0 / 30, -1.0 / 15},
    {32.0 / 45, 16.0 / 45, 8.0 / 45, 4.0 / 45},
    {0, 0, 0, 1.0 / 2},
};
static const double odd_filter[STEM_ODD][3] = {
    {1.0 / 4, 0, 0},
    {1.0 / 6, 1.0 / 6, 1.0 / 6},
    {1.0 / 6, -1.0 / 6, 1.0 / 6},
    {1.0 / 24, 1.0 / 12, 1.0 / 6},
    {1.0 / 24, -1.0 / 12, 1.0 / 6},
    {0, 0, 1},
};

bool stem_fits(const Window *w, int channels, int filters) {
  return filters % BLOCK == 0 && w->kernel_w == STEM_COLUMNS && w->stride_w == STEM_STRIDE && w->dilation_w == 1 &&
         w->dilation_h == 1 && w->kernel_h <= STEM_ROWS && channels <= STEM_CHANNELS;
}

float *stem_weights(Pieces *pieces, const Tensors *tensors, int weights, int filters, int rows, int channels) {
  float *to = prepare_bytes(pieces, (size_t)round_up(filters, BLOCK) * rows * channels * STEM_PRODUCTS * sizeof *to);
  for (int filter = 0; to && filter < filters; ++filter) {
    for (int y = 0; y < rows; ++y) {
      float taps[STEM_COLUMNS * STEM_CHANNELS];
      const int values = STEM_COLUMNS * channels;
      tensor_floats(tensors, weights, ((int64_t)filter * rows + y) * values, values, taps);
      for (int channel = 0; channel < channels; ++channel) {
        float *products = to + ((size_t)(filter / BLOCK * rows + y) * channels + channel) * STEM_PRODUCTS * BLOCK;
        for (int k = 0; k < STEM_PRODUCTS; ++k) {
          double sum = 0;
          for (int tap = k < STEM_EVEN ? 0 : 1; tap < STEM_COLUMNS; tap += STEM_STRIDE)
            sum += taps[tap * channels + channel] *
                   (k < STEM_EVEN ? even_filter[k][tap / 2] : odd_filter[k - STEM_EVEN][tap / 2]);
          products[k * BLOCK + filter % BLOCK] = (float)sum;
        }
      }
    }
  }
  return to;
}
