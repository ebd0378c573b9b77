"""This machine, through the interpreters in Python: LCE's, and TFLite's with and without ftbnn-runtime."""

from __future__ import annotations

import subprocess

from ftbnn_larq.benchmarking import steps
from ftbnn_larq.benchmarking.alone import operator_times
from ftbnn_larq.benchmarking.models import Model, random_pictures
from ftbnn_larq.benchmarking.output import Row
from ftbnn_larq.benchmarking.statistics import Timing
from ftbnn_larq.boards import device
from ftbnn_larq.inference.interpreter import Interpreter, engine_of, host_kernel, kernels


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
        pictures = random_pictures(model, 8) if pictures is None else pictures
        measured = self.load(model, kernel, threads).time(pictures, warmup=warmup, runs=runs)
        self._peaks[model.path, kernel, threads] = measured["peak_memory_mb"]
        return Timing.of(measured["times_ms"])

    def inspect(self, model: Model, kernel: str, threads: int, *, profile: bool) -> dict:
        """`{peak_memory_mb, layers}`: of the interpreter's process with Python, and None unless they are asked for."""
        layers = self._profile(model, kernel, threads) if profile else None
        return {"peak_memory_mb": self._peaks[model.path, kernel, threads], "layers": layers}

    def _profile(self, model: Model, kernel: str, threads: int) -> list[dict]:
        """ftbnn-runtime times its steps. The other interpreters have no profiler: each operator runs by itself."""
        if engine_of(kernel) == "ftbnn":
            with Interpreter(model.path, kernel=kernel, threads=threads, profiles=True) as interpreter:
                told = interpreter.profile(random_pictures(model, 1), warmup=steps.WARMUP, runs=steps.RUNS)
            return steps.layers(model, told)
        times = operator_times(model.path, engine_of(kernel), kernel, threads, steps.RUNS)
        return model.profile(
            Row(operator.type, f"[{operator.output}]:{index}", ms, 1)
            for index, (operator, ms) in enumerate(zip(model.operators, times, strict=False))
            if ms is not None
        )

    def answers(self, model: Model, kernel: str, pictures):
        """float32 pictures (n, h, w, c) to scores (n, classes)."""
        return self.load(model, kernel, 1).predict(pictures)

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *exception) -> None:
        for interpreter in self._interpreters.values():
            interpreter.close()
