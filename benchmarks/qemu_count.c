// A plugin of qemu-user: writes the number of executed instructions to the file that its argument out=PATH names.
// PLUGIN_VERSION is that of qemu's interface: 1 below qemu 9, else 2. No header of qemu's is needed.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
typedef uint64_t qemu_plugin_id_t;
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                                  void (*callback)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*callback)(unsigned, void *), int flags,
                                                 void *data);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, void *), void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);

EXPORT int qemu_plugin_version = PLUGIN_VERSION;

static uint64_t executed;
static char path[4096];

// `length` holds a number of instructions, not an address.
static void count(unsigned processor, void *length) {
  (void)processor;
  __atomic_fetch_add(&executed, (uint64_t)(uintptr_t)length, __ATOMIC_RELAXED);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_cb(block, count, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void finished(qemu_plugin_id_t id, void *data) {
  (void)id, (void)data;
  FILE *file = fopen(path, "w");
  if (!file) return;
  fprintf(file, "%" PRIu64 "\n", executed);
  fclose(file);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *about, int count_of_arguments, char **arguments) {
  (void)about;
  if (count_of_arguments != 1 || strncmp(arguments[0], "out=", 4) != 0 || strlen(arguments[0]) >= sizeof path) return -1;
  strcpy(path, arguments[0] + 4);
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, finished, NULL);
  return 0;
}
