"""The pool of threads, in C programs of its own."""

from __future__ import annotations

import shutil
import subprocess

import build_library
import pytest

FORK = """
#include "threads.c"
#include <sys/wait.h>

static void add(void *sum, int first, int last) { atomic_fetch_add((atomic_int *)sum, last - first); }

int main(void) {
  atomic_int sum = 0;
  int status;
  Threads *threads = threads_create(2);
  // As a thread has it for a moment before it sleeps.
  pthread_mutex_lock(&threads->mutex);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    threads_wake(threads);
    threads_run(threads, 100, 1, add, &sum);
    threads_free(threads);
    _exit(sum != 100);
  }
  waitpid(child, &status, 0);
  pthread_mutex_unlock(&threads->mutex);
  threads_wake(threads);
  threads_run(threads, 100, 1, add, &sum);
  threads_free(threads);
  return status != 0 || sum != 100;
}
"""


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
def test_a_process_forked_while_a_thread_has_the_mutex_ends(tmp_path):
    source = tmp_path / "fork.c"
    source.write_text(FORK)
    made = build_library.compile_files([source], [], tmp_path / "fork", ["cc"], [f"-I{build_library.SOURCES}"])
    assert subprocess.run([made], timeout=60).returncode == 0
