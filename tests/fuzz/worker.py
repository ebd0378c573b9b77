"""The process that runs cases: seeds come in by lines, findings go out as JSON, a line a case.

    python -m tests.fuzz.worker [KIND]

It lives as long as it can, so that a case costs no import. A case that kills it, or never ends, is its parent's to see.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import logging
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

# A case may take that much more than the process had. Those of the kinds are a thousand times smaller.
MOST_MB = 1_500


def main() -> None:
    # Standard output is for answers only, whatever libraries print.
    answers = os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    faulthandler.enable()
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="cache-")
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1"}
    logging.disable()
    from ftbnn_larq import cli  # noqa: F401 (asks for Keras 2)
    from tests.fuzz import kinds

    kind = sys.argv[1] if len(sys.argv) > 1 else None
    # With TensorFlow: not in the time of the first case that needs it. No planted one does.
    if kind not in kinds.PLANTED:
        importlib.import_module("larq")
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        seed = int(line)
        name, _ = kinds.drawn(seed, kind)
        Path("/proc/self/clear_refs").write_text("5")
        before, begin = _memory("VmRSS"), time.monotonic()
        found = kinds.finding(seed, kind)
        seconds = time.monotonic() - begin
        grown = _memory("VmHWM") - before
        child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        if not found and max(grown, child) > MOST_MB:
            found = f"{grown:.0f} MB of memory, {child:.0f} MB in a process of its own"
        answer = {"kind": name, "found": found, "seconds": round(seconds, 3)}
        # The most of all children so far: those of the next case would not be known.
        answer["last"] = child > MOST_MB
        print(json.dumps(answer), file=answers, flush=True)
        if answer["last"]:
            return


def _memory(key: str) -> float:
    """A figure of this process in MiB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) / 1024


if __name__ == "__main__":
    main()
