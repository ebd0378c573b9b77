"""This machine, through the interpreters in Python: LCE's, and TFLite's with and without ftbnn-runtime."""

from __future__ import annotations

import subprocess

from ftbnn_larq.benchmarking.alone import operator_times
from ftbnn_larq.benchmarking.models import Model
from ftbnn_larq.benchmarking.output import Row
from ftbnn_larq.benchmarking.statistics import Timing
from ftbnn_larq.boards import device
from ftbnn_larq.inference.interpreter import Interpreter, engine_of, host_kernel, kernels

# Of each operator by itself.
PROFILE_RUNS = 20


class Host:
    """Times flatbuffers with one loaded interpreter each; use it as a context manager."""

    # So many turns are taken; switching costs little here.
    rounds = 10
    fastest = host_kernel(), "the fastest one of this machine"

    @property
    def isa(self) -> tuple[str, str]:
        """ftbnn-runtime's kernel, and why. Raises ToolError: it has no library for this machine."""
        return kernels("ftbnn")[0], "the fastest one of this machine"

    def __init__(self):
        self.facts = self.state()
        self._interpreters = {}
        self._peaks = {}

    def state(self) -> dict:
        """The facts of this machine as they are now; see `device.parse_facts`."""
        done = subprocess.run(["sh", "-c", device.FACTS], capture_output=True, text=True)
        return device.parse_facts(done.stdout)

    def load(self, model: Model, kernel: str, threads: int) -> Interpreter:
        key = model.path, kernel, threads
        if key not in self._interpreters:
            self._interpreters[key] = Interpreter(model.path, kernel=kernel, threads=threads)
        return self._interpreters[key]

    def round(self, model: Model, kernel: str, threads: int, *, runs: int, warmup: int, pictures=None) -> Timing:
        """Some inferences on float32 pictures (n, h, w, c) in turn; random ones unless given."""
        if pictures is None:
            import numpy as np

            # The time of a binary network does not depend on them.
            pictures = np.random.default_rng(0).standard_normal((8, *model.input_shape[1:]), np.float32)
        measured = self.load(model, kernel, threads).time(pictures, warmup=warmup, runs=runs)
        self._peaks[model.path, kernel, threads] = measured["peak_memory_mb"]
        return Timing.of(measured["times_ms"])

    def inspect(self, model: Model, kernel: str, threads: int, *, profile: bool) -> dict:
        """`{peak_memory_mb, rows}`: of the interpreter's process with Python; if asked for, each operator by itself."""
        times = operator_times(model.path, engine_of(kernel), kernel, threads, PROFILE_RUNS) if profile else []
        rows = [
            Row(operator.type, f"[{operator.output}]:{index}", ms, 1)
            for index, (operator, ms) in enumerate(zip(model.operators, times, strict=False))
            if ms is not None
        ]
        return {"peak_memory_mb": self._peaks[model.path, kernel, threads], "rows": rows}

    def answers(self, model: Model, kernel: str, pictures):
        """float32 pictures (n, h, w, c) to scores (n, classes)."""
        return self.load(model, kernel, 1).predict(pictures)

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *exception) -> None:
        for interpreter in self._interpreters.values():
            interpreter.close()
