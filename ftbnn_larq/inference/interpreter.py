"""Interpreters of flatbuffers, LCE's and TFLite's with and without ftbnn-runtime, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import pickle
import platform
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from ftbnn_larq.errors import ConfigError, ModelFileError, UnknownNameError
from ftbnn_larq.inference import runtime

KERNELS = ("default", "indirect", "reference")
# Engine -> its kernels, each of one engine only. LCE's interpreter has LCE's operators; TFLite's is the stock one of
# TensorFlow, which has them by ftbnn-runtime.
ENGINES = {"lce": KERNELS, "ftbnn": runtime.ISAS, "tflite": ("xnnpack",)}
# Those that have LCE's operators, among which people choose.
OF_LCE = ("lce", "ftbnn")
_NAMES = {
    "lce": "LCE's interpreter",
    "ftbnn": "TFLite's interpreter with ftbnn-runtime",
    "tflite": "TFLite's interpreter",
}
# An undamaged file of the zoo loads in well under a second.
LOAD_SECONDS = 60


def fastest_kernel(machine: str) -> str:
    """The fastest kernel of an architecture: "indirect" on x86-64, where it is four times as fast, else "default".

    Arguments:
        machine: the architecture, as `uname -m` prints it.
    """
    return "indirect" if machine.lower() in ("x86_64", "amd64") else "default"


def host_kernel() -> str:
    """The fastest kernel of this machine."""
    return fastest_kernel(platform.machine())


def engine_of(kernel: str) -> str:
    """The engine that has a kernel. Raises UnknownNameError if none has."""
    for engine, known in ENGINES.items():
        if kernel in known:
            return engine
    raise UnknownNameError("kernel", kernel, [each for known in ENGINES.values() for each in known])


def kernels(engine: str) -> tuple[str, ...]:
    """An engine's kernels on this machine, the fastest first.

    Raises:
        ToolError: ftbnn-runtime has no library for this machine.
    """
    if engine == "ftbnn":
        return runtime.instruction_sets()
    return tuple(sorted(ENGINES[engine], key=lambda kernel: kernel != host_kernel()))


def check_engine(engine: str, in_keras: str | os.PathLike | None = None) -> None:
    """Refuse an engine.

    Arguments:
        in_keras: the network, if it is no flatbuffer.

    Raises:
        UnknownNameError: it is none for LCE's operators.
        ConfigError: Keras runs the network.
    """
    if engine not in OF_LCE:
        raise UnknownNameError("engine", engine, OF_LCE)
    if in_keras is not None:
        raise ConfigError(f"engine {engine}: {in_keras} is no flatbuffer, Keras runs it: leave the engine out")


def child_environment() -> dict[str, str]:
    """The environment for a child process that finds the same Python modules as this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class Interpreter:
    """A flatbuffer, loaded in a child process. Use it as a context manager, or call `close`.

    Attributes:
        input_shape: (1, h, w, c).
        output_shape: (1, classes).
        engine: a key of `ENGINES`.
        kernel: one of the engine's kernels.
        threads: number of threads.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        engine: str | None = None,
        kernel: str | None = None,
        threads: int = 1,
        several_outputs: bool = False,
    ):
        """Load a flatbuffer.

        Arguments:
            path: the .tflite file.
            engine: a key of `ENGINES`; None for the one that has `kernel`, or LCE's.
            kernel: one of the engine's kernels; None for the fastest one of this machine.
            threads: number of threads.
            several_outputs: whether a flatbuffer with more than one output is accepted.

        Raises:
            UnknownNameError: there is no such engine, or it has no such kernel on this machine.
            ConfigError: `threads` is below 1, or more than ftbnn-runtime takes.
            ToolError: ftbnn-runtime has no library for this machine.
            ModelFileError: the file cannot be read, is not a flatbuffer, is damaged, or is not a classifier of
                pictures.
        """
        engine = engine or (engine_of(kernel) if kernel else "lce")
        if engine not in ENGINES:
            raise UnknownNameError("engine", engine, ENGINES)
        if threads < 1:
            raise ConfigError(f"{threads} threads: at least 1 is needed")
        if engine == "ftbnn" and threads > runtime.MOST_THREADS:
            raise ConfigError(f"{threads} threads: ftbnn-runtime takes at most {runtime.MOST_THREADS}")
        known = kernels(engine)
        self.path, self.engine, self.kernel, self.threads = Path(path), engine, kernel or known[0], threads
        if self.kernel not in known:
            raise UnknownNameError("kernel", self.kernel, known)
        _check_header(self.path)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ftbnn_larq.inference.worker", str(self.path), engine, self.kernel, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=child_environment(),
        )
        try:
            loaded = self._answer(LOAD_SECONDS)
            one_output = len(loaded["outputs"]) == 1 or several_outputs
            if not one_output or len(loaded["inputs"]) != 1 or len(loaded["inputs"][0]) != 4:
                raise ModelFileError(
                    f"{path}: not a classifier of pictures: its inputs are {loaded['inputs']}, "
                    f"its outputs are {loaded['outputs']}"
                )
        except BaseException:
            self.close()
            raise
        self.input_shape, self.output_shape = loaded["inputs"][0], loaded["outputs"][0]

    def predict(self, pictures):
        """Scores (n, classes) of float32 pictures (n, h, w, c), computed one picture at a time."""
        return self._ask("predict", pictures)

    def outputs(self, picture) -> list:
        """All outputs, float32, for one float32 picture (1, h, w, c)."""
        return self._ask("outputs", picture)

    def time(self, pictures, *, warmup: int, runs: int) -> dict:
        """Time inferences of one picture each.

        Arguments:
            pictures: float32 (n, h, w, c), used in turn.
            warmup: number of inferences before timing.
            runs: number of timed inferences.

        Returns:
            `{times_ms, peak_memory_mb}`: the `runs` times in ms, and the peak resident memory of the interpreter
                process (Python included) in MiB.
        """
        return self._ask("time", pictures, warmup, runs)

    def close(self) -> None:
        """End the child process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def __enter__(self) -> Interpreter:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _ask(self, *request):
        try:
            pickle.dump(request, self._process.stdin)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says why
        return self._answer(None)

    def _answer(self, seconds: float | None):
        readable, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not readable:
            raise ModelFileError(f"{self.path}: {self.name} did not load it within {seconds} s: is it damaged?")
        try:
            kind, value = pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError) as error:
            code = self._process.wait()
            reason = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            raise ModelFileError(
                f"{self.path}: {self.name} crashed on it ({reason}): the file is damaged{self._said()}"
            ) from error
        if kind == "error":
            raise ModelFileError(f"{self.path}: {self.name} refuses it ({value}){self._said()}")
        return value

    @property
    def name(self) -> str:
        """For people."""
        return _NAMES[self.engine]

    def _said(self) -> str:
        """The errors that native code wrote to standard error, on one line."""
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines()]
        lines = [line for line in lines if line.startswith("ERROR") or "rror:" in line]
        return f": {' '.join(lines)[:300]}" if lines else ""


def _check_header(path: Path) -> None:
    try:
        with open(path, "rb") as file:
            header = file.read(8)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    if header[4:8] != b"TFL3":
        raise ModelFileError(f"{path}: not a TFLite flatbuffer (the identifier TFL3 is missing)")
