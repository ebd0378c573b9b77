"""A process for what native code reads of a stranger's file: it may only take so much memory and processor time.

The child calls `begin`, then `library_loaded`, and `answer_within` before each further answer. The kernel ends a child
that takes more: neither a loop nor a library that has lost its way holds anything up, or outlives its parent for long.
"""

from __future__ import annotations

import math
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

# Of processor time, which a busy machine does not lengthen, for an answer that takes an undamaged file well under a
# second. Reading what is in a child adds up to less than a minute, which is as long as people wait.
SECONDS = 40
# A child that sleeps takes no processor time: it ends after so many times as long by the clock. A child that works has
# to come that far on a machine with several times as much to do as it has cores.
BY_THE_CLOCK = 10
# A program for `python -c`, which runs the module that is its first argument: as `python -m`, which would also find
# modules in the current folder, where a file is no program of ours. It has no single quote, for shells.
AS_MODULE = (
    'import sys; del sys.path[0]; import runpy; runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)'
)
# Slow machines, emulators and sanitizers multiply all deadlines.
PATIENCE = "FTBNN_LARQ_PATIENCE"


def memory() -> int:
    """Bytes that a child may take: half of what this machine, or its container, has."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            there = min(there, int(Path(limit).read_text()))
        except (OSError, ValueError):  # another version of cgroups, or "max"
            continue
    return there // 2


def begin() -> None:
    """Begin a child's work. Ctrl-C and SIGTERM are its parent's to answer, which kills it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    answer_within(SECONDS)


def library_loaded(most: int | None = None) -> None:
    """Limit the memory of this process to `most` bytes, `memory` unless given, beyond what it has mapped.

    Called once the native library is loaded: TensorFlow's maps gigabytes that it never touches, and sanitizers map
    terabytes.
    """
    try:
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return  # not Linux
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([mapped + (most or memory()), *known]), hard))


def answer_within(seconds: float) -> None:
    """End this process if it does not call this again within `seconds` of processor time, times `PATIENCE`.

    0 lets it take its time. SIGPROF ends it, or SIGALRM `BY_THE_CLOCK` times as late.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds * _patience())
    signal.setitimer(signal.ITIMER_REAL, seconds * _patience() * BY_THE_CLOCK)


def _patience() -> float:
    try:
        patience = float(os.environ.get(PATIENCE) or 1)
    except ValueError:
        return 1.0
    return patience if 0 < patience < math.inf else 1.0


def start(module: str, *arguments: str, **streams) -> subprocess.Popen:
    """A child that runs a module of this package; it finds the same Python modules as this process."""
    return subprocess.Popen(**_command(module, arguments), **streams)


def run(module: str, *arguments: str) -> subprocess.CompletedProcess:
    """The same, once it has ended."""
    return subprocess.run(**_command(module, arguments), stdin=subprocess.DEVNULL, capture_output=True)


def _command(module: str, arguments: tuple[str, ...]) -> dict:
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return {"args": [sys.executable, "-c", AS_MODULE, module, *arguments], "env": found}


def why_ended(status: int, said: bytes, most: int | None = None) -> str:
    """Why a child came to its end.

    Arguments:
        status: as `Popen.returncode` is.
        said: what it wrote to standard error.
        most: as `library_loaded` was told.
    """
    if status in (-signal.SIGPROF, -signal.SIGALRM):
        return f"no answer in time: it may be an endless loop; {PATIENCE}=10 in the environment waits ten times as long"
    if re.search(rb"bad_alloc|MemoryError|[Oo]ut of memory|OOM", said):
        of = "" if most else ", half of this machine's"
        return f"it takes more than {(most or memory()) / 1e9:.1f} GB of memory{of}"
    return f"crashed, {signal.Signals(-status).name}" if status < 0 else f"crashed, exit status {status}"
