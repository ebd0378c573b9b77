// What follows the sums of a binary convolution on the same pixels. A part of kernel.h.

INLINE Floats read_part(const float *p, int present) {
  if (present >= TAIL) return load_floats(p);
  Floats v = {0};
  if (present > 0) memcpy(&v, p, (size_t)present * sizeof(float));
  return v;
}

INLINE void write_part(float *p, Floats v, int present) {
  if (present >= TAIL)
    memcpy(p, &v, sizeof v);
  else if (present > 0)
    memcpy(p, &v, (size_t)present * sizeof(float));
}

INLINE void write_int8(int8_t *p, Floats v, int present) {
  for (int i = 0; i < min_int(TAIL, present); ++i) {
    // To the nearest, halves away from zero. A half that is added first could round a little less than a half up.
    const float limited = v[i] < -128.0f ? -128.0f : v[i] > 127.0f ? 127.0f : v[i];
    const int whole = (int)limited;
    const float rest = limited - (float)whole;
    p[i] = (int8_t)(whole + (rest >= 0.5f) - (rest <= -0.5f));
  }
}

// Writes 16 signs, or `present` of them, as those of the channels from `place` on. Behind the last ones of a group the
// rest of a word is cleared: nothing else does, unless the next group comes there.
INLINE void write_signs(uint32_t *words, int place, uint32_t bits, int present, bool is_last) {
  if (place % BLOCK == 0) {
    ((uint16_t *)words)[place / BLOCK] = (uint16_t)bits;
    if (place % WORD == 0 && is_last) ((uint16_t *)words)[place / BLOCK + 1] = 0;
    return;
  }
  for (int i = 0; i < present; ++i) {
    const uint32_t bit = 1u << (place + i) % WORD;
    uint32_t *word = &words[(place + i) / WORD];
    *word = bits >> i & 1 ? *word | bit : *word & ~bit;
  }
  const int end = place + present;
  if (is_last && end % WORD) words[end / WORD] &= (1u << end % WORD) - 1;
}

#ifndef clamped
INLINE Ints clamped(Ints sum, int32_t low, int32_t high) {
  const Ints above = sum > high, below = sum < low;
  sum = (above & high) | (~above & sum);
  return (below & low) | (~below & sum);
}
#endif

// 16 filters of a pixel, from `filter` on; `present` of them exist.
INLINE void finish(const BConv *conv, const BConvIO *io, const int32_t *sums, int pixel, int filter, int present) {
  const int32_t *border = NULL;
  if (conv->border_class)
    border = conv->border_sum + (size_t)conv->border_class[pixel] * round_up(conv->filters, BLOCK) + filter;
  uint32_t bits = 0;
#pragma GCC unroll 4
  for (int part = 0; part < BLOCK; part += TAIL) {
    const int at = filter + part, left = present - part;
    Ints sum = load_ints(sums + part);
    sum += sum;
    if (border) sum += load_ints(border + part);
    if (conv->kind == OUT_THRESHOLD) {
      bits |= negative_bits((Ints)((sum >> 1) > load_ints(conv->threshold + at))) << part;
      continue;
    }
    sum = clamped(sum, conv->clamp_min, conv->clamp_max);
    Floats y = __builtin_convertvector(sum, Floats) * load_floats(conv->multiplier + at);
    y += load_floats(conv->bias + at);
    if (conv->slope) y = where_negative(y, y * load_floats(conv->slope + at));
    if (io->added) y += read_part(io->added + (size_t)pixel * io->added_pitch + at, left);
    if (conv->relu) y = choose(y < 0.0f, (Floats){0}, y);
    if (io->output) write_part(io->output + (size_t)pixel * io->output_pitch + at, y, left);
    if (conv->kind == OUT_INT8) write_int8(io->output8 + (size_t)pixel * io->output_pitch + at, y, left);
    bits |= float_bits(y) << part;
  }
  if (io->signs) {
    bits &= (1u << present) - 1;
    write_signs(io->signs + io->signs_offset[pixel], io->signs_filter + filter, bits, present,
                filter + BLOCK >= conv->filters);
  }
}

// What follows a sum, of a convolution to float. The flags are constants once inlined.
typedef struct {
  bool slope, added, output, signs;
} Flags;

// A whole block of filters, as trunks have them. What belongs to a filter stays in registers from pixel to pixel.
typedef struct {
  Floats multiplier[BLOCK / TAIL], bias[BLOCK / TAIL], slope[BLOCK / TAIL];
  bool is_clamped, relu;
  int32_t low, high;
  const float *added;
  float *output;
  ptrdiff_t added_pitch, output_pitch;
  char *signs;
  const int32_t *signs_offset;
} Finish;

INLINE Finish finish_from(const BConv *conv, const BConvIO *io, int pixel, int filter, Flags has) {
  Finish f = {.is_clamped = conv->is_clamped, .relu = conv->relu, .low = conv->clamp_min, .high = conv->clamp_max};
#pragma GCC unroll 4
  for (int part = 0; part < BLOCK / TAIL; ++part) {
    f.multiplier[part] = load_floats(conv->multiplier + filter + part * TAIL);
    f.bias[part] = load_floats(conv->bias + filter + part * TAIL);
    if (has.slope) f.slope[part] = load_floats(conv->slope + filter + part * TAIL);
  }
  f.added_pitch = io->added_pitch, f.output_pitch = io->output_pitch;
  if (has.added) f.added = io->added + pixel * f.added_pitch + filter;
  if (has.output) f.output = io->output + pixel * f.output_pitch + filter;
  if (has.signs)
    f.signs = (char *)io->signs + (io->signs_filter + filter) / 8, f.signs_offset = io->signs_offset + pixel;
  return f;
}

// Twice a sum of bits, and what zero padding adds.
INLINE Ints twice(const BConv *conv, Ints sum, int pixel, int filter) {
  sum += sum;
  if (!conv->border_class) return sum;
  const int32_t *border = conv->border_sum + (size_t)conv->border_class[pixel] * round_up(conv->filters, BLOCK);
  return sum + load_ints(border + filter);
}

// Finishes the pixel `p` behind the first one, from twice its sums.
INLINE void finish_pixel(const Finish *f, int p, const Ints *sums, Flags has) {
  uint32_t bits = 0;
#pragma GCC unroll 4
  for (int part = 0; part < BLOCK / TAIL; ++part) {
    Ints sum = sums[part];
    if (f->is_clamped) sum = clamped(sum, f->low, f->high);
    Floats y = __builtin_convertvector(sum, Floats) * f->multiplier[part];
    y += f->bias[part];
    if (has.slope) y = where_negative(y, y * f->slope[part]);
    if (has.added) y += load_floats(f->added + p * f->added_pitch + part * TAIL);
    if (f->relu) y = where_negative(y, (Floats){0});
    if (has.output) memcpy(f->output + p * f->output_pitch + part * TAIL, &y, sizeof y);
    if (has.signs) bits |= float_bits(y) << part * TAIL;
  }
  if (has.signs) {
    const uint16_t half = (uint16_t)bits;
    memcpy(f->signs + (ptrdiff_t)f->signs_offset[p] * 4, &half, sizeof half);
  }
}

INLINE void finish_block(const BConv *conv, const BConvIO *io, const int32_t *sums, int pixel, int pixels, int filter,
                         Flags has) {
  const Finish f = finish_from(conv, io, pixel, filter, has);
  for (int p = 0; p < pixels; ++p) {
    Ints sum[BLOCK / TAIL];
#pragma GCC unroll 4
    for (int part = 0; part < BLOCK / TAIL; ++part) {
      sum[part] = load_ints(sums + p * TILE_FILTERS + part * TAIL);
      sum[part] = twice(conv, sum[part], pixel + p, filter + part * TAIL);
    }
    finish_pixel(&f, p, sum, has);
  }
}

// A number for each set of flags, so that each has a copy of `finish_block`.
INLINE int flags_of(const BConv *conv, const BConvIO *io) {
  return (conv->slope ? 1 : 0) | (io->added ? 2 : 0) | (io->output ? 4 : 0) | (io->signs ? 8 : 0);
}

#define EACH_FLAGS(DO) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)
#define FLAGS(n) ((Flags){.slope = n & 1, .added = n & 2, .output = n & 4, .signs = n & 8})

// Whether `filters` filters from `filter` on exist, and their signs are whole halves of words, with nothing left to
// clear.
INLINE bool are_whole(const BConv *conv, const BConvIO *io, int filter, int filters) {
  const int place = io->signs_filter + filter;
  // The last block of an odd number also clears what is left of a word.
  const bool clears = filter + filters >= conv->filters && (place + filters) % WORD;
  return filter + filters <= conv->filters && !(io->signs && (clears || place % BLOCK));
}

// Whether `finish_block` does for them.
INLINE bool is_usual(const BConv *conv, const BConvIO *io, int filter, int filters) {
  return conv->kind == OUT_FLOAT && are_whole(conv, io, filter, filters);
}

// All of a tile. One copy of it in the library is enough, where there are many of `sum_tile`.
static __attribute__((noinline)) void finish_tile(const BConv *conv, const BConvIO *io, const int32_t *sums, int pixel,
                                                  int pixels, int filter, int filters) {
  for (int f = 0; f < filters; f += BLOCK) {
    if (is_usual(conv, io, filter + f, BLOCK)) {
#ifdef usual_tiles
      // Little comes here: one copy that asks does.
      finish_block(conv, io, sums + f, pixel, pixels, filter + f, FLAGS(flags_of(conv, io)));
#else
      switch (flags_of(conv, io)) {
#define CASE(n)                                                            \
  case n:                                                                  \
    finish_block(conv, io, sums + f, pixel, pixels, filter + f, FLAGS(n)); \
    break;
        EACH_FLAGS(CASE)
#undef CASE
      }
#endif
      continue;
    }
    const int present = min_int(BLOCK, conv->filters - filter - f);
    for (int p = 0; p < pixels; ++p) finish(conv, io, sums + p * TILE_FILTERS + f, pixel + p, filter + f, present);
  }
}
