// A fuzzer: changes the graphs of real flatbuffers at random, and has the delegate claim, prepare and run them.
//
//   fuzz SEED COUNT GRAPH...
//
// The graphs are written by graphs.py, the program is built by build_library.py --fuzzer.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static uint64_t state;

uint32_t random_number(uint32_t below) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((state >> 33) % below);
}

int main(int argc, char **argv) {
  static Graph graphs[16], changed;
  if (argc < 4) {
    fprintf(stderr, "fuzz SEED COUNT GRAPH...\n");
    return 2;
  }
  const int count = argc - 3 > 16 ? 16 : argc - 3;
  for (int i = 0; i < count; ++i) {
    read_graph(argv[3 + i], &graphs[i]);
    // What is whole has to run.
    need(play(&graphs[i], NULL));
  }
  const long first = strtol(argv[1], NULL, 10), all = strtol(argv[2], NULL, 10);
  long ran = 0;
  for (long i = first; i < first + all; ++i) {
    state = (uint64_t)i * 0x9e3779b97f4a7c15u + 1;
    changed = graphs[random_number((uint32_t)count)];
    // Options are changed in place: they need a copy.
    unsigned char *copies[MAX_NODES];
    for (int j = 0; j < changed.node_count; ++j) {
      copies[j] = malloc((size_t)changed.nodes[j].option_bytes + 1);
      memcpy(copies[j], changed.nodes[j].options, (size_t)changed.nodes[j].option_bytes);
      changed.nodes[j].options = copies[j];
    }
    for (uint32_t j = 0, changes = 1 + random_number(3); j < changes; ++j) mutate(&changed);
    ran += play(&changed, random_number(4) ? "portable" : NULL);
    for (int j = 0; j < changed.node_count; ++j) free(copies[j]);
    for (int j = 0; j < changed.tensor_count; ++j) free(changed.tensors[j].changed);
  }
  printf("%ld changed graphs: %ld ran, %ld were refused\n", all, ran, all - ran);
  return 0;
}
