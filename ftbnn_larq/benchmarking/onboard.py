"""A board, through ftbnn-runtime in the stock interpreter there."""

from __future__ import annotations

import contextlib

from ftbnn_larq.benchmarking import steps
from ftbnn_larq.benchmarking.models import Model, random_pictures
from ftbnn_larq.benchmarking.statistics import Timing
from ftbnn_larq.boards import device, session
from ftbnn_larq.boards.board import reason_of
from ftbnn_larq.boards.session import QUIET, Told
from ftbnn_larq.boards.targets import Target
from ftbnn_larq.boards.worker import Worker
from ftbnn_larq.errors import BoardError
from ftbnn_larq.inference.interpreter import engine_of


class OnBoard:
    """Times flatbuffers with one loaded interpreter each; use it as a context manager.

    Attributes:
        facts: what the board is and was when the session began; see `device.parse_facts`.
        isa: the instruction set that ftbnn-runtime takes there, and why.
    """

    # As LCE's tool, so that both can be measured in turn.
    rounds = 5

    def __init__(self, target: Target, *, seconds: float, told: Told = QUIET):
        """Connect, and bring the runtime for this once unless it is deployed there.

        Arguments:
            seconds: the longest that one turn may take.

        Raises:
            BoardError, ToolError: nothing can run there; see `deployment.deploy`.
        """
        self._seconds, self._workers, self._peaks = seconds, {}, {}
        with contextlib.ExitStack() as stack:
            found = stack.enter_context(session.opened(target, told))
            self._board, self.facts, self._python = found.board, found.facts, found.once()
            done = self._board.execute([self._python, "-c", "import ftbnn_runtime as it; print(it.isa())"], seconds=60)
            if done.status:
                raise BoardError(f"{target}: ftbnn-runtime cannot be loaded there: {reason_of(done.err)}")
            self.isa = done.out.decode().split()[-1], "the fastest one of the board"
            self._stack = stack.pop_all()

    def state(self) -> dict:
        """The facts of the board as they are now."""
        return device.facts_of(self._board)

    def load(self, model: Model, kernel: str, threads: int) -> Worker:
        key = model.path, kernel, threads
        if key not in self._workers:
            self._workers[key] = self._stack.enter_context(self._start(model, kernel, threads))
        return self._workers[key]

    def _start(self, model: Model, kernel: str, threads: int, profiles: bool = False) -> Worker:
        there = self._board.put(model.path, ".tflite", passing=True)
        options = {"threads": threads, "kernel": kernel, "seconds": self._seconds, "profiles": profiles}
        return Worker(self._board, self._python, there, **options)

    def round(self, model: Model, kernel: str, threads: int, *, runs: int, warmup: int, pictures=None) -> Timing:
        """Some inferences on float32 pictures (n, h, w, c) in turn; a random one unless given."""
        pictures = random_pictures(model, 1) if pictures is None else pictures
        measured = self.load(model, kernel, threads).time(pictures, warmup=warmup, runs=runs)
        self._peaks[model.path, kernel, threads] = measured["peak_memory_mb"]
        return Timing.of(measured["times_ms"])

    def inspect(self, model: Model, kernel: str, threads: int, *, profile: bool) -> dict:
        """`{peak_memory_mb, layers}`: of the interpreter's process with Python, and by ftbnn-runtime if asked for.

        `layers` is None of a flatbuffer that TFLite's interpreter runs alone: it has no profiler.
        """
        layers = None
        if profile and engine_of(kernel) == "ftbnn":
            with self._start(model, kernel, threads, profiles=True) as worker:
                told = worker.profile(random_pictures(model, 1), warmup=steps.WARMUP, runs=steps.RUNS)
            layers = steps.layers(model, told)
        return {"peak_memory_mb": self._peaks[model.path, kernel, threads], "layers": layers}

    def answers(self, model: Model, kernel: str, pictures):
        """float32 pictures (n, h, w, c) to scores (n, classes)."""
        return self.load(model, kernel, 1).predict(pictures)

    def __enter__(self) -> OnBoard:
        return self

    def __exit__(self, *exception) -> None:
        self._stack.close()
