"""Flatbuffer in, measurements out."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ftbnn_larq.errors import ConfigError


def benchmark(
    files: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    on: str = "host",
    threads: int = 1,
    runs: int = 50,
    warmup: int = 10,
    kernel: str | None = None,
) -> list[dict]:
    """Latency of flatbuffers, one inference of one picture at a time.

    Arguments:
        files: one flatbuffer or several.
        on: "host", this machine.
        threads: threads of the interpreter.
        runs, warmup: timed inferences, and those before them that are not.
        kernel: "default", "indirect" or "reference"; the fastest of the machine unless given.

    Returns:
        For each file `{path, on, device, kernel, threads, runs, latency_ms: {mean, median, min, p95},
        peak_memory_mb, operators: [{type, count}]}`.

    Raises:
        ModelFileError: a file that cannot be loaded.
        ConfigError: a target or number that cannot be used.
    """
    from ftbnn_larq.benchmarking import host

    if on != "host":
        raise ConfigError(f"cannot benchmark on {on!r}: this version measures on this machine, --on host")
    if runs < 1 or warmup < 0:
        raise ConfigError(f"{runs} runs after {warmup} for warm-up: at least 1 run is needed")
    files = [files] if isinstance(files, str | os.PathLike) else list(files)
    return [host.measure(path, threads=threads, runs=runs, warmup=warmup, kernel=kernel) for path in files]
