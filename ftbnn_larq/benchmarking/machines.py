"""What times flatbuffers on a target, for each engine that is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from ftbnn_larq.benchmarking.onboard import OnBoard
from ftbnn_larq.benchmarking.remote import Remote
from ftbnn_larq.boards.packages import CannotRun
from ftbnn_larq.boards.session import Told
from ftbnn_larq.boards.targets import Target
from ftbnn_larq.errors import ToolError
from ftbnn_larq.inference.interpreter import engine_of


class Both:
    """A board whose flatbuffers are timed by ftbnn-runtime or by LCE's tool, as the kernel says."""

    def __init__(self, ftbnn: OnBoard, lce: Remote):
        self._lce, self._ftbnn = lce, ftbnn
        self.facts, self.rounds, self.state = ftbnn.facts, ftbnn.rounds, ftbnn.state
        self.isa, self.fastest = ftbnn.isa, lce.fastest

    def _of(self, kernel: str):
        return self._lce if engine_of(kernel) == "lce" else self._ftbnn

    def load(self, model, kernel: str, threads: int):
        return self._of(kernel).load(model, kernel, threads)

    def round(self, model, kernel: str, threads: int, **turn):
        return self._of(kernel).round(model, kernel, threads, **turn)

    def inspect(self, model, kernel: str, threads: int, *, profile: bool) -> dict:
        return self._of(kernel).inspect(model, kernel, threads, profile=profile)

    def answers(self, model, kernel: str, pictures):
        return self._of(kernel).answers(model, kernel, pictures)


@contextlib.contextmanager
def opened(
    target: Target, engines: Sequence[str], *, tool, runner: str, keep: bool, seconds: float, told: Told
) -> Iterator[tuple]:
    """What times on a target, and those of the engines that it has.

    Of several, LCE's is left out without its tool, and ftbnn-runtime where nothing can run it.

    Raises:
        BoardError, ToolError, ConfigError: as `Remote` and `OnBoard`.
    """
    with contextlib.ExitStack() as stack:

        def remote(path):
            return stack.enter_context(
                Remote(target, path, runner=runner, keep=keep, seconds=seconds, on_event=told.on_event)
            )

        if target.kind == "host":
            from ftbnn_larq.benchmarking.host import Host

            yield stack.enter_context(Host()), engines
            return
        if "ftbnn" in engines:
            try:
                machine = stack.enter_context(OnBoard(target, seconds=seconds, told=told))
            except CannotRun as error:
                if "lce" not in engines:
                    raise
                told.on_event(f"ftbnn-runtime is left out: {error}")
                engines = ["lce"]
        if "ftbnn" not in engines:
            yield remote(tool), engines
            return
        if "lce" in engines:
            try:
                machine = Both(machine, remote(tool))
            except ToolError as error:
                if tool:
                    raise
                told.on_event(f"LCE is left out: {error}")
                engines = ["ftbnn"]
        yield machine, engines
