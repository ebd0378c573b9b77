"""This machine, through LCE's interpreter."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np

from ftbnn_larq.deploy import census
from ftbnn_larq.deploy.interpreter import Interpreter


def device() -> dict:
    """What this machine is: `{cpu, cores, architecture, os}`."""
    cpu = platform.processor()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                cpu = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return {
        "cpu": cpu or "unknown",
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "os": f"{platform.system()} {platform.release()}",
    }


def summarize(times_ms) -> dict[str, float]:
    """Mean, median, minimum and 95th percentile of latencies, in ms."""
    times = np.asarray(times_ms)
    figures = {"mean": times.mean(), "median": np.median(times), "min": times.min(), "p95": np.percentile(times, 95)}
    return {name: round(float(value), 4) for name, value in figures.items()}


def measure(path, *, threads: int, runs: int, warmup: int, kernel: str | None) -> dict:
    """One file; see `ftbnn_larq.benchmark`. The input is random: the time of a binary network does not depend on it."""
    with Interpreter(path, kernel=kernel, threads=threads) as interpreter:
        shape = (8, *interpreter.input_shape[1:])
        pictures = np.random.default_rng(0).standard_normal(shape, np.float32)
        measured = interpreter.time(pictures, warmup=warmup, runs=runs)
        counts = census.census(census.operators(Path(path).read_bytes(), path))
        return {
            "path": str(path),
            "on": "host",
            "device": device(),
            "kernel": interpreter.kernel,
            "threads": threads,
            "runs": runs,
            "latency_ms": summarize(measured["times_ms"]),
            "peak_memory_mb": round(measured["peak_memory_mb"], 1),
            "operators": [{"type": name, "count": count} for name, count in counts.items()],
        }
