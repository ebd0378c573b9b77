#include "filters.h"

#if !defined(__x86_64__) || !defined(__linux__)

bool has_amx(void) { return false; }

bool filter_gradient_by_amx(const FilterGradient *gradient, Threads *threads) {
  (void)gradient, (void)threads;
  return false;
}

#else

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "spread.h"
#include "zeros.h"

#define AMX __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16")))

// A product of tiles: channels by positions by filters. A word of signs has two lots of channels.
enum { LANES = LANES_OF_HALF, POSITIONS = 32, FILTERS = FILTERS_OF_BLOCK };
enum { TILE = FILTERS * POSITIONS, BYTES_OF_ROW = 64, POSITIONS_OF_CHUNK = 1024, TAPS_OF_LOT = 3 };
// Of Linux: arch_prctl asks that the process may use a part of the processor's state.
enum { ASK_FOR_STATE = 0x1023, STATE_OF_TILES = 18 };

// Where a window moves by `stride`, a frame's pixels are put into
// stride x stride maps, in each of which it moves by one. Then the signs at one tap of all windows are those of one
// map, beginning a shift later. The pictures' rows follow each other; where no window is, gradients are zeros.
//
// Gradients are shifted, not signs: rows of a tile are read quickly only from where lines of the cache begin.
typedef struct {
  const FilterGradient *gradient;
  int filters, words, halves, blocks;  // of a group; a half has LANES channels, a block FILTERS filters
  int map_h, map_w, maps;
  ptrdiff_t pixel, frame;           // words of a pixel's signs, and of a frame
  int first, pictures;              // of a chunk
  ptrdiff_t before, tiles, length;  // the largest shift; tiles of a map's positions; positions with shifts
  const uint32_t *frames;           // of the chunk
  uint32_t *upstream;       // of a position, and of the next one in the upper half: [group][block][length][FILTERS]
  uint32_t *words_of_half;  // [group][half][length]
  uint16_t *signs;          // 1 or -1: [group][half][map][LANES][length]
  float *sums;              // [group][half][block][tap][LANES][FILTERS]
} Work;

static bool ask_for_amx(void) {
  unsigned a, b, c, d;
  const unsigned needed = 1u << 22 | 1u << 24;  // products of bfloat16; tiles
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & needed) != needed) return false;
  return syscall(SYS_arch_prctl, ASK_FOR_STATE, STATE_OF_TILES) == 0;
}

bool has_amx(void) {
  static _Atomic int known;  // -1 for no, 0 where nobody asked
  if (!known) known = ask_for_amx() ? 1 : -1;
  return known > 0;
}

// The gradients of a row of windows; NULL where there is none.
static const uint16_t *upstream_row(const Work *work, int row) {
  const Convolution *shape = &work->gradient->shape;
  const int picture = row / work->map_h, y = row % work->map_h;
  if (row < 0 || picture >= work->pictures || y >= shape->out_h) return NULL;
  const size_t pixel = ((size_t)(work->first + picture) * shape->out_h + y) * shape->out_w;
  return (const uint16_t *)work->gradient->upstream + pixel * shape->filters;
}

// Writes gradients of two positions, either of which may be NULL.
AMX static void pack_pair(const Work *work, const uint16_t *one, const uint16_t *next, uint32_t *to) {
  for (int group = 0; group < work->gradient->shape.groups; ++group) {
    for (int block = 0; block < work->blocks; ++block, to += work->length * FILTERS) {
      const int filter = group * work->filters + block * FILTERS;
      const __mmask16 present = (__mmask16)((1u << min_int(FILTERS, work->filters - block * FILTERS)) - 1);
      __m512i both = _mm512_setzero_si512();
      if (one) both = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(present, one + filter));
      if (next) {
        const __m512i above = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(present, next + filter));
        both = _mm512_or_si512(both, _mm512_slli_epi32(above, 16));
      }
      _mm512_store_si512(to, both);
    }
  }
}

// Rows `first` to `last` - 1, counted from the one before all, which has no window.
static void pack_upstream(void *context, int first, int last) {
  const Work *work = context;
  const Convolution *shape = &work->gradient->shape;
  for (int row = first - 1; row < last - 1; ++row) {
    const uint16_t *one = upstream_row(work, row), *next_row = upstream_row(work, row + 1);
    uint32_t *to = work->upstream + (work->before + (ptrdiff_t)row * work->map_w) * FILTERS;
    // Of the row before all there is a last position at most.
    for (int x = row < 0 ? work->map_w - 1 : 0; x < work->map_w; ++x) {
      const uint16_t *next = x + 1 == work->map_w          ? next_row
                             : one && x + 1 < shape->out_w ? one + shape->filters
                                                           : NULL;
      if (row >= 0 || work->before) pack_pair(work, one, next, to + x * FILTERS);
      one = next;
    }
  }
}

// The words of a map's pixels, one behind the other.
static void collect(const Work *work, const uint32_t *frames, uint32_t *to) {
  const ptrdiff_t stride = work->gradient->shape.stride, step = work->pixel * stride;
  for (int row = 0; row < work->pictures * work->map_h; ++row) {
    const uint32_t *from = frames + row * stride * work->gradient->shape.frame_w * work->pixel;
    for (int x = 0; x < work->map_w; ++x) *to++ = from[x * step];
  }
}

// From words of signs, LANES bits from `shift` on: 1 or -1 in bfloat16, whose highest bit is the sign of a number.
AMX static void unpack(const Work *work, const uint32_t *words, int shift, uint16_t *to) {
  const __m512i plus = _mm512_set1_epi16(0x3f80), top = _mm512_set1_epi16((short)0x8000);
  for (ptrdiff_t at = 0; at < work->tiles * POSITIONS; at += POSITIONS) {
    const __m512i low = _mm512_srli_epi32(_mm512_load_si512(words + at), (unsigned)shift);
    const __m512i high = _mm512_srli_epi32(_mm512_load_si512(words + at + POSITIONS / 2), (unsigned)shift);
    const __m512i first = _mm512_castsi256_si512(_mm512_cvtepi32_epi16(low));
    __m512i bits = _mm512_inserti64x4(first, _mm512_cvtepi32_epi16(high), 1);
    // From the last channel to the first, the bit of each in turn is the highest.
    for (int lane = LANES - 1; lane >= 0; --lane, bits = _mm512_slli_epi16(bits, 1))
      _mm512_store_si512(to + lane * work->length + at, _mm512_or_si512(plus, _mm512_and_si512(bits, top)));
  }
}

// The processor takes the number of a tile as a constant: 0 to 5 are sums, 6 signs, 7 gradients.
#define EACH_SUM(run)                                     \
  run(0, sums, BYTES_OF_ROW);                             \
  if (taps > 1) run(1, sums + tap, BYTES_OF_ROW);         \
  if (taps > 2) run(2, sums + 2 * tap, BYTES_OF_ROW);     \
  if (two_blocks) {                                       \
    run(3, others, BYTES_OF_ROW);                         \
    if (taps > 1) run(4, others + tap, BYTES_OF_ROW);     \
    if (taps > 2) run(5, others + 2 * tap, BYTES_OF_ROW); \
  }

// Adds what all positions bring for up to three taps side by side, for one block of filters or two.
AMX static void multiply(const Work *work, const uint16_t *signs, const uint32_t *upstream, int taps, bool two_blocks,
                         float *sums) {
  const Convolution *shape = &work->gradient->shape;
  const ptrdiff_t tap = LANES * FILTERS, row = work->length * 2, next = work->length * FILTERS;
  float *others = sums + (ptrdiff_t)shape->kernel_h * shape->kernel_w * tap;
  EACH_SUM(_tile_loadd)
  for (ptrdiff_t tile = 0; tile < work->tiles; ++tile, upstream += POSITIONS * FILTERS, signs += POSITIONS) {
    _tile_loadd(6, signs, row);
    _tile_loadd(7, upstream, 2 * BYTES_OF_ROW);
    _tile_dpbf16ps(0, 6, 7);
    if (taps > 1) {
      _tile_loadd(7, upstream - FILTERS, 2 * BYTES_OF_ROW);
      _tile_dpbf16ps(1, 6, 7);
    }
    if (taps > 2) {
      _tile_loadd(7, upstream - 2 * FILTERS, 2 * BYTES_OF_ROW);
      _tile_dpbf16ps(2, 6, 7);
    }
    if (!two_blocks) continue;
    _tile_loadd(7, upstream + next, 2 * BYTES_OF_ROW);
    _tile_dpbf16ps(3, 6, 7);
    if (taps > 1) {
      _tile_loadd(7, upstream + next - FILTERS, 2 * BYTES_OF_ROW);
      _tile_dpbf16ps(4, 6, 7);
    }
    if (taps > 2) {
      _tile_loadd(7, upstream + next - 2 * FILTERS, 2 * BYTES_OF_ROW);
      _tile_dpbf16ps(5, 6, 7);
    }
  }
  EACH_SUM(_tile_stored)
}

// A thread gets its tiles ready, and puts back what it had before.
typedef struct {
  _Alignas(64) uint8_t bytes[64];
} Setting;

AMX static void set_tiles(Setting *before) {
  Setting whole = {{1}};  // of the first kind: 16 rows of 64 bytes
  for (int tile = 0; tile < 8; ++tile) whole.bytes[16 + 2 * tile] = BYTES_OF_ROW, whole.bytes[48 + tile] = 16;
  _tile_storeconfig(before);
  _tile_loadconfig(&whole);
}

AMX static void put_back(const Setting *before) { _tile_loadconfig(before); }

static void add_halves(void *context, int first, int last) {
  const Work *work = context;
  const Convolution *shape = &work->gradient->shape;
  const int stride = shape->stride, taps = shape->kernel_h * shape->kernel_w;
  Setting before;
  set_tiles(&before);
  for (int part = first; part < last; ++part) {
    const int group = part / work->halves, half = part % work->halves;
    uint16_t *signs = work->signs + part * work->maps * LANES * work->length;
    for (int map = 0; map < work->maps; ++map) {
      const ptrdiff_t corner = map / stride * shape->frame_w + map % stride;
      uint32_t *words = work->words_of_half + part * work->length;
      collect(work, work->frames + corner * work->pixel + group * work->words + half / 2, words);
      unpack(work, words, half % 2 * LANES, signs + map * LANES * work->length);
    }
    for (int block = 0; block < work->blocks; block += 2) {
      const uint32_t *upstream =
          work->upstream + ((group * work->blocks + block) * work->length + work->before) * FILTERS;
      float *sums = work->sums + ((ptrdiff_t)part * work->blocks + block) * taps * LANES * FILTERS;
      for (int y = 0; y < shape->kernel_h; ++y) {
        // Taps side by side are so in one map only where a window moves by one.
        for (int x = 0, lot; x < shape->kernel_w; x += lot) {
          lot = stride == 1 ? min_int(TAPS_OF_LOT, shape->kernel_w - x) : 1;
          const ptrdiff_t map = y % stride * stride + x % stride, shift = y / stride * work->map_w + x / stride;
          multiply(work, signs + map * LANES * work->length, upstream - shift * FILTERS, lot, block + 1 < work->blocks,
                   sums + (y * shape->kernel_w + x) * LANES * FILTERS);
        }
      }
    }
  }
  put_back(&before);
}

bool filter_gradient_by_amx(const FilterGradient *gradient, Threads *threads) {
  const Convolution *shape = &gradient->shape;
  const int stride = shape->stride, channels = shape->channels / shape->groups;
  Work work = {
      .gradient = gradient,
      .filters = shape->filters / shape->groups,
      .words = words_of(channels),
      .halves = halves_of(shape),
      .blocks = blocks_of(shape),
      .map_h = shape->frame_h / stride,
      .map_w = shape->frame_w / stride,
      .maps = stride * stride,
      .pixel = pixel_words(shape),
      .frame = frame_words(shape),
  };
  const ptrdiff_t of_map = (ptrdiff_t)work.map_h * work.map_w;
  // Maps without a pixel bring nothing.
  const int pictures = shape->out_h && shape->out_w ? shape->pictures : 0;
  const int chunk = min_int(pictures, max_int(1, POSITIONS_OF_CHUNK / max_int(1, (int)of_map)));
  const int taps = shape->kernel_h * shape->kernel_w;
  const size_t blocks = (size_t)shape->groups * work.blocks, halves = (size_t)shape->groups * work.halves;
  work.before = (ptrdiff_t)((shape->kernel_h - 1) / stride) * work.map_w + (shape->kernel_w - 1) / stride;
  // An odd number of lines of the cache: rows of a tile do not compete for the same place in it.
  work.length = (((work.before + chunk * of_map + work.map_w) / POSITIONS + 2) | 1) * POSITIONS;
  work.upstream = zeros(blocks * work.length * FILTERS * sizeof *work.upstream);
  work.words_of_half = zeros(halves * work.length * sizeof *work.words_of_half);
  work.signs = zeros(halves * work.maps * LANES * work.length * sizeof *work.signs);
  work.sums = zeros(blocks * work.halves * taps * LANES * FILTERS * sizeof *work.sums);
  const bool is_made = work.upstream && work.words_of_half && work.signs && work.sums;
  for (; is_made && work.first < pictures; work.first += work.pictures) {
    work.pictures = min_int(chunk, pictures - work.first);
    work.frames = shape->frames + work.first * work.frame;
    work.tiles = (work.pictures * of_map + POSITIONS - 1) / POSITIONS;
    // The rows of all tiles, and the one before them.
    const int rows = (int)((work.tiles * POSITIONS + work.map_w - 1) / work.map_w);
    spread(threads, 1 + rows, pack_upstream, &work);
    spread(threads, shape->groups * work.halves, add_halves, &work);
  }
  if (is_made) write_filter_gradient(gradient, work.sums, 1, FILTERS);
  free(work.upstream), free(work.words_of_half), free(work.signs), free(work.sums);
  return is_made;
}

#endif
