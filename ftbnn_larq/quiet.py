"""Catch what native code prints to standard error. TensorFlow and MLIR print there without Python's logging."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def quiet_native_stderr() -> Iterator[Callable[[], str]]:
    """Catch output to file descriptor 2. Yield a function that returns the caught text; call it after the block."""
    sys.stderr.flush()
    caught = []
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: "".join(caught)
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            caught.append(file.read().decode(errors="replace"))
