"""Each operator of a flatbuffer timed by itself: the interpreters in Python have no profiler.

    python -m ftbnn_larq.benchmarking.alone FILE ENGINE KERNEL THREADS RUNS

Prints the median times in ms, a JSON list in order of execution, null for an operator that does not run alone. In a
process of its own, for a damaged flatbuffer can kill it.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

from ftbnn_larq import documents, leash
from ftbnn_larq.conversion import flatbuffer as fb
from ftbnn_larq.errors import ModelFileError
from ftbnn_larq.inference import engines, inspection, schema

WARMUP = 2


def operator_times(path, engine: str, kernel: str, threads: int, runs: int) -> list[float | None]:
    """The times of a flatbuffer's operators in ms, in order of execution, by a child process.

    Raises:
        ModelFileError: the child died of it.
    """
    done = leash.run(__name__, str(path), engine, kernel, str(threads), str(runs))
    if done.returncode:
        reason = leash.why_ended(done.returncode, done.stderr)
        raise ModelFileError(f"{path}: its operators cannot be timed one by one ({reason})")
    return documents.check(documents.parse(done.stdout, path, ModelFileError), list[float | None], path, ModelFileError)


def main(path: str, engine: str, kernel: str, threads: str, runs: str) -> None:
    # Standard output is for the answer only. What native code prints goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    leash.begin()
    engines.load_library(engine)
    leash.library_loaded()
    flatbuffer = schema.content(path)
    operations = inspection.operations(flatbuffer)
    model = fb.unpack(flatbuffer)
    graph = model.subgraphs[0]
    whole = list(graph.operators)
    computed = {*graph.inputs, *(output for operator in whole for output in operator.outputs)}
    times = []
    for operator in whole:
        leash.answer_within(inspection.seconds(operations * (WARMUP + int(runs))))
        graph.operators = [operator]
        graph.inputs = [index for index in dict.fromkeys(operator.inputs) if index in computed]
        graph.outputs = list(operator.outputs)
        try:
            one = engines.load(engine, fb.pack(model), kernel, int(threads))
            times.append(_median(one, int(runs)))
        except Exception:  # whatever the binding raises for an operator that needs others
            times.append(None)
    answers.write(json.dumps(times))
    answers.close()


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
