"""Interpreters of flatbuffers, LCE's and TFLite's with and without ftbnn-runtime, each in a process of its own."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import subprocess
import tempfile
from pathlib import Path

from ftbnn_larq import documents, leash
from ftbnn_larq.errors import ConfigError, ModelFileError, UnknownNameError
from ftbnn_larq.files import check_ends
from ftbnn_larq.inference import messages, runtime

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
# Pictures that the child gets at once.
_AT_ONCE = 64


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
        profiles: bool = False,
    ):
        """Load a flatbuffer.

        Arguments:
            path: the .tflite file.
            engine: a key of `ENGINES`; None for the one that has `kernel`, or LCE's.
            kernel: one of the engine's kernels; None for the fastest one of this machine.
            threads: number of threads.
            several_outputs: whether a flatbuffer with more than one output is accepted.
            profiles: whether `profile` will be asked for; of the engine ftbnn only.

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
        self._process = leash.start(
            "ftbnn_larq.inference.worker",
            *(str(self.path), engine, self.kernel, str(threads), *(["profile"] if profiles else [])),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        try:
            answer, _ = self._answer()
            shapes = (answer.get("inputs"), answer.get("outputs"))
            inputs, outputs = (self._checked(each, list[tuple[int, ...]]) for each in shapes)
            one_output = len(outputs) == 1 or several_outputs
            if not one_output or len(inputs) != 1 or len(inputs[0]) != 4:
                raise ModelFileError(
                    f"{path}: not a classifier of pictures: its inputs are {inputs}, its outputs are {outputs}"
                )
        except BaseException:
            self.close()
            raise
        # Some end in (1, 1, 1, classes), as a global pooling leaves them.
        self.input_shape, self.output_shape = inputs[0], (1, math.prod(outputs[0]))

    def predict(self, pictures):
        """Scores (n, classes) of float32 pictures (n, h, w, c), computed one picture at a time."""
        import numpy as np

        answers = []
        for first in range(0, len(pictures), _AT_ONCE):
            asked = pictures[first : first + _AT_ONCE]
            _, (scores,) = self._ask("predict", asked, arrays=1)
            if len(scores) != len(asked):
                raise ModelFileError(f"{self.path}: {self.name} gives {len(scores)} rows of scores, not {len(asked)}")
            answers.append(scores.reshape(len(scores), -1))
        return np.concatenate(answers)

    def outputs(self, picture) -> list:
        """All outputs, float32, for one float32 picture (1, h, w, c)."""
        return self._ask("outputs", picture)[1]

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
        answer, _ = self._ask("time", pictures, warmup=warmup, runs=runs)
        times = self._checked(answer.get("times_ms"), list[float])
        return {"times_ms": times, "peak_memory_mb": self._checked(answer.get("peak_memory_mb"), float)}

    def profile(self, pictures, *, warmup: int, runs: int) -> dict:
        """Time inferences of the first of the pictures by ftbnn-runtime's steps: `ftbnn_runtime.profile.measure`."""
        return self._ask("profile", pictures, warmup=warmup, runs=runs)[0]

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

    def _ask(self, request: str, pictures, *, arrays: int | None = None, **more) -> tuple[dict, list]:
        # A pipe that nobody reads: the answer says why.
        with contextlib.suppress(BrokenPipeError):
            messages.send(self._process.stdin, {"ask": request, **more}, [pictures])
        answer, found = self._answer()
        if arrays not in (None, len(found)):
            raise ModelFileError(f"{self.path}: {self.name} gives {len(found)} arrays, not {arrays}")
        return answer, found

    def _answer(self) -> tuple[dict, list]:
        try:
            answer, arrays = messages.receive(self._process.stdout, self.path)
        except EOFError as error:
            reason = leash.why_ended(self._process.wait(), self._written())
            raise ModelFileError(f"{self.path}: {self.name} cannot run it ({reason}){self._said()}") from error
        if "refused" in answer:
            raise ModelFileError(f"{self.path}: {self.name} refuses it ({answer['refused']}){self._said()}")
        return answer, arrays

    def _checked(self, value, kind):
        return documents.check(value, kind, f"{self.path}: the answer of {self.name}", ModelFileError)

    @property
    def name(self) -> str:
        """For people."""
        return _NAMES[self.engine]

    def _said(self) -> str:
        """The errors that native code wrote to standard error, on one line."""
        lines = [line.strip() for line in self._written().decode(errors="replace").splitlines()]
        lines = [line for line in lines if line.startswith("ERROR") or "rror:" in line]
        return f": {' '.join(lines)[:300]}" if lines else ""

    def _written(self) -> bytes:
        self._errors.seek(0)
        return self._errors.read(1 << 20)


def _check_header(path: Path) -> None:
    try:
        check_ends(path)
        with open(path, "rb") as file:
            header = file.read(8)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    if header[4:8] != b"TFL3":
        raise ModelFileError(f"{path}: not a TFLite flatbuffer (the identifier TFL3 is missing)")
