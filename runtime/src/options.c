#include "options.h"

#include <string.h>

// FlexBuffer types.
enum { TYPE_INT = 1, TYPE_UINT = 2, TYPE_MAP = 9, TYPE_BOOL = 26 };

typedef struct {
  const uint8_t *bytes;
  size_t size;
} Buffer;

// An unsigned number of `width` bytes at `at`; false where it is not inside.
static bool number(Buffer b, size_t at, size_t width, uint64_t *value) {
  if (!(width == 1 || width == 2 || width == 4 || width == 8) || at > b.size || width > b.size - at) return false;
  *value = 0;
  for (size_t i = 0; i < width; ++i) *value |= (uint64_t)b.bytes[at + i] << (8 * i);
  return true;
}

// What the offset at `at` points to: offsets count backwards.
static bool target(Buffer b, size_t at, size_t width, size_t *place) {
  uint64_t back;
  if (!number(b, at, width, &back) || back > at) return false;
  *place = at - (size_t)back;
  return true;
}

static bool is_called(Buffer b, size_t at, const char *name) {
  const size_t length = strlen(name) + 1;
  return at <= b.size && length <= b.size - at && memcmp(b.bytes + at, name, length) == 0;
}

bool options_int(const void *buffer, size_t bytes, const char *name, int *value) {
  const Buffer b = {buffer, bytes};
  // The last byte is the width of the root, the one before it its type.
  if (!buffer || bytes < 3) return false;
  const size_t root_width = b.bytes[bytes - 1];
  if (b.bytes[bytes - 2] >> 2 != TYPE_MAP || root_width > bytes - 2) return false;
  const size_t width = (size_t)1 << (b.bytes[bytes - 2] & 3);
  // In front of a map's values: where its names are, their width, and how many there are.
  size_t values, names;
  uint64_t names_width, count;
  if (!target(b, bytes - 2 - root_width, root_width, &values) || values < 3 * width) return false;
  if (!target(b, values - 3 * width, width, &names) || !number(b, values - 2 * width, width, &names_width) ||
      !number(b, values - width, width, &count))
    return false;
  // A value, a name and a type each take a byte at least.
  if (count > bytes) return false;
  for (size_t i = 0; i < count; ++i) {
    size_t place;
    uint64_t type;
    if (!target(b, names + i * (size_t)names_width, (size_t)names_width, &place)) return false;
    if (!is_called(b, place, name)) continue;
    if (!number(b, values + (size_t)count * width + i, 1, &type)) return false;
    type >>= 2;
    uint64_t raw;
    if ((type != TYPE_INT && type != TYPE_UINT && type != TYPE_BOOL) || !number(b, values + i * width, width, &raw))
      return false;
    // Two's complement of `width` bytes.
    if (type == TYPE_INT && width < 8 && raw >> (8 * width - 1)) raw |= ~(uint64_t)0 << (8 * width);
    const int64_t whole = (int64_t)raw;
    if (whole < INT32_MIN || whole > INT32_MAX) return false;
    *value = (int)whole;
    return true;
  }
  return false;
}
