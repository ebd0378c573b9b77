"""Each operator of a flatbuffer timed by itself: the interpreters in Python have no profiler.

    python -m ftbnn_larq.benchmarking.alone FILE ENGINE KERNEL THREADS RUNS

Prints the median times in ms, a JSON list in order of execution, null for an operator that does not run alone. In a
process of its own, for a damaged flatbuffer can kill it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from ftbnn_larq.conversion import flatbuffer as fb
from ftbnn_larq.errors import ModelFileError
from ftbnn_larq.inference import engines
from ftbnn_larq.inference.interpreter import child_environment

WARMUP = 2
SECONDS = 300


def operator_times(path, engine: str, kernel: str, threads: int, runs: int) -> list[float | None]:
    """The times of a flatbuffer's operators in ms, in order of execution, by a child process.

    Raises:
        ModelFileError: the child died of it.
    """
    command = [sys.executable, "-m", __name__, str(path), engine, kernel, str(threads), str(runs)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=child_environment())
        return json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
        raise ModelFileError(f"{path}: its operators cannot be timed one by one ({type(error).__name__})") from error


def main(path: str, engine: str, kernel: str, threads: str, runs: str) -> None:
    with open(path, "rb") as file:
        model = fb.unpack(file.read())
    graph = model.subgraphs[0]
    whole = list(graph.operators)
    computed = {*graph.inputs, *(output for operator in whole for output in operator.outputs)}
    times = []
    for operator in whole:
        graph.operators = [operator]
        graph.inputs = [index for index in dict.fromkeys(operator.inputs) if index in computed]
        graph.outputs = list(operator.outputs)
        try:
            one = engines.load(engine, fb.pack(model), kernel, int(threads))
            times.append(_median(one, int(runs)))
        except Exception:  # whatever the binding raises for an operator that needs others
            times.append(None)
    print(json.dumps(times))


def _median(interpreter, runs: int) -> float:
    import numpy as np

    generator = np.random.default_rng(0)

    def noise(shape, dtype):
        if dtype.kind == "f":
            return generator.standard_normal(shape).astype(dtype)
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, shape, dtype, endpoint=True)

    given = [noise(*each) for each in zip(interpreter.input_shapes, interpreter.input_types, strict=True)]
    times = []
    for _ in range(WARMUP + runs):
        begin = time.perf_counter()
        interpreter.predict(given)
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times[WARMUP:])


if __name__ == "__main__":
    main(*sys.argv[1:])
