"""A board, through LCE's benchmark tool."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

from ftbnn_larq.benchmarking import fetched, output, tool
from ftbnn_larq.benchmarking.models import Model
from ftbnn_larq.benchmarking.statistics import Timing
from ftbnn_larq.boards import device
from ftbnn_larq.boards.board import Board
from ftbnn_larq.boards.targets import Target
from ftbnn_larq.errors import ConfigError, ToolError
from ftbnn_larq.inference.interpreter import fastest_kernel

# Runs of the pass that measures memory and, if asked for, operators; both disturb the latency.
INSPECTION_RUNS = 20


class Remote:
    """Times flatbuffers on a board; use it as a context manager.

    Attributes:
        facts: what the board is and was when the session began; see `device.parse_facts`.
        fastest: the kernel for networks that every kernel runs, and why.
    """

    # Each turn starts the tool anew.
    rounds = 5

    def __init__(
        self,
        target: Target,
        path: str | os.PathLike | None,
        *,
        runner: str = "",
        keep: bool = False,
        seconds: float,
        on_event: Callable[[str], None] = lambda line: None,
    ):
        """Connect, look at the board, and put the tool there.

        Arguments:
            path: the benchmark tool; the one fetched for such a board unless given.
            runner: a command to put in front of it.
            keep: leave what is sent there for the next session.
            seconds: the longest that one run of the tool may take.
            on_event: told what goes on, a line at a time.

        Raises:
            BoardError: it cannot be reached or used.
            ToolError: the tool was not made for it.
            ConfigError: the runner is no command line.
        """
        try:
            self._runner = shlex.split(runner)
        except ValueError as error:
            raise ConfigError(f"--runner {runner!r}: {error}") from error
        if path:
            tool.check_tool(path)
        self._seconds = seconds
        on_event(f"connecting to {target} ..." if target.address else f"preparing {target.kind} ...")
        with contextlib.ExitStack() as stack:
            self.board = stack.enter_context(Board(target, keep=keep))
            self.facts = self.state()
            path = path or fetched.find({**self.facts, **self._emulated()})
            tool.check_tool(path, None if self._runner else self.facts)
            # The tool's and not the board's: an emulator may stand in front of it.
            machine = tool.made_for(path) or self.facts.get("architecture", "unknown machines")
            self.fastest = fastest_kernel(machine), f"the fastest one on {machine}"
            self._tool = self.board.put(path, "-lce_benchmark_model")
            self._stack = stack.pop_all()

    def _emulated(self) -> dict:
        """The facts of the architecture that an emulator in front of the tool is called after, as qemu-aarch64 is."""
        return {"architecture": "aarch64", "bits": 64} if "aarch64" in "".join(self._runner[:1]) else {}

    def state(self) -> dict:
        return device.facts_of(self.board)

    def load(self, model: Model, kernel: str, threads: int) -> None:
        self.board.put(model.path, ".tflite")

    def round(self, model: Model, kernel: str, threads: int, *, runs: int, warmup: int, pictures=None) -> Timing:
        flags = tool.timing_flags(threads, kernel, runs=runs, warmup=warmup)
        given = [] if pictures is None else self._input(model, pictures[0])[0]
        return self._run(model, [*flags, *given]).timing

    def inspect(self, model: Model, kernel: str, threads: int, *, profile: bool) -> dict:
        """`{peak_memory_mb, layers}`: of the tool's process where it says so, else how much it grew; its profile."""
        flags = tool.timing_flags(threads, kernel, runs=INSPECTION_RUNS if profile else 1, warmup=1)
        flags += ["--report_peak_memory_footprint=true", *(["--enable_op_profiling=true"] if profile else [])]
        found = self._run(model, flags)
        if profile and not found.rows:
            raise ToolError("the benchmark tool printed no profile: it was built without one, take another build")
        return {"peak_memory_mb": found.memory_mb, "layers": model.profile(found.rows) if profile else None}

    def answers(self, model: Model, kernel: str, pictures):
        import numpy as np

        flags = tool.timing_flags(1, kernel, runs=1, warmup=0)
        scores = []
        for picture in pictures:
            given, sent = self._input(model, picture)
            self._execute(model, [*flags, *given, "--output_filepath=./answer"])
            scores.append(np.frombuffer(self.board.get("./answer", 4 * model.classes), np.float32))
            self.board.remove(sent, "./answer")
        return np.stack(scores)

    def _run(self, model: Model, flags: list[str]) -> output.Output:
        return output.parse(self._execute(model, flags))

    def _execute(self, model: Model, flags: list[str]) -> str:
        graph = f"--graph={self.board.put(model.path, '.tflite')}"
        return tool.execute(
            self.board, self._tool, [graph, *flags], runner=self._runner, model=model, seconds=self._seconds
        )

    def _input(self, model: Model, picture) -> tuple[list[str], str]:
        """The flags that put one picture in, and its path there after sending it."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "picture"
            file.write_bytes(picture.astype("<f4").tobytes())
            sent = self.board.put(file, ".f32", passing=True)
        # A colon separates the tensor's name from the file's; in the name it is written twice.
        name = model.input_name.replace(":", "::")
        shape = ",".join(map(str, model.input_shape))
        flags = [
            f"--input_layer={model.input_name}",
            f"--input_layer_shape={shape}",
            f"--input_layer_value_files={name}:{sent}",
        ]
        return flags, sent

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *exception) -> None:
        self._stack.close()
