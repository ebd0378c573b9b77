"""A flatbuffer in the stock interpreter on a board, asked through the connection: see ftbnn_runtime.worker."""

from __future__ import annotations

import contextlib
import json
import threading

from ftbnn_larq.boards.board import Board, reason_of
from ftbnn_larq.errors import BoardError, ModelFileError, one_line

# What ftbnn_runtime.worker begins its lines with; the runtime is not imported for it, for it imports numpy.
MARK = b"ftbnn-runtime: "
LOAD_SECONDS = 180
# Pictures of one request: their scores fit into a pipe, so that neither side waits for the other.
AT_ONCE = 8


class Worker:
    """A loaded flatbuffer. Use it as a context manager, or call `close`.

    Attributes:
        input_shape: (1, h, w, c).
        output_shape: (1, classes).
        kernel: the instruction set that runs it.
        engine: "ftbnn".
    """

    engine = "ftbnn"

    def __init__(
        self,
        board: Board,
        python: str,
        flatbuffer: str,
        *,
        threads: int = 1,
        kernel: str | None = None,
        profiles: bool = False,
        seconds: float | None = None,
    ):
        """Load a flatbuffer.

        Arguments:
            python: on the board, one that has the runtime.
            flatbuffer: its path there.
            kernel: an instruction set of ftbnn-runtime, or "xnnpack" for TFLite without it; the best one unless given.
            profiles: whether `profile` will be asked for.
            seconds: the longest that `time` and `profile` may take; None for no limit.

        Raises:
            BoardError: the connection is lost.
            ModelFileError: the flatbuffer cannot be run there.
        """
        self._board, self._seconds, self._late = board, seconds, None
        options = json.dumps({"threads": threads, "isa": kernel, "profile": profiles})
        self._process = board.talk([python, "-m", "ftbnn_runtime.worker", flatbuffer, options])
        self._said = b""
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            told = self._answer("input_shape", "classes", "isa", seconds=LOAD_SECONDS)
        except BaseException:
            self.close()
            raise
        self.input_shape, self.output_shape = tuple(told["input_shape"]), (1, told["classes"])
        self.kernel = told["isa"]

    def predict(self, pictures):
        """Scores (n, classes) of float32 pictures (n, h, w, c), computed one picture at a time."""
        import numpy as np

        scores = [np.empty((0, self.output_shape[1]), np.float32)]
        for begin in range(0, len(pictures), AT_ONCE):
            part = pictures[begin : begin + AT_ONCE]
            self._ask(part, ask="scores")
            shape = self._answer("scores")["scores"]
            values = self._process.stdout.read(4 * shape[0] * shape[1])
            if len(values) < 4 * shape[0] * shape[1]:
                self._fail()
            scores.append(np.frombuffer(values, "<f4").reshape(shape))
        return np.concatenate(scores)

    def time(self, pictures, *, warmup: int, runs: int) -> dict:
        """Time inferences of one picture each: `{times_ms, peak_memory_mb}`, as `Interpreter.time`."""
        self._ask(pictures[:AT_ONCE], ask="time", warmup=warmup, runs=runs)
        return self._answer("times_ms", "peak_memory_mb", seconds=self._seconds)

    def profile(self, pictures, *, warmup: int, runs: int) -> dict:
        """Time inferences of the first picture by step, as `Interpreter.profile`."""
        self._ask(pictures[:1], ask="profile", warmup=warmup, runs=runs)
        return self._answer("steps", seconds=self._seconds)

    def close(self) -> None:
        """End the program on the board."""
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()
        self._process.terminate()
        self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _listen(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            while part := self._process.stderr.read1(1 << 12):
                self._said = (self._said + part)[-(1 << 14) :]

    def _ask(self, pictures, **request) -> None:
        with contextlib.suppress(BrokenPipeError):  # the answer says why
            self._process.stdin.write(json.dumps({**request, "pictures": len(pictures)}).encode() + b"\n")
            self._process.stdin.write(pictures.astype("<f4").tobytes())
            self._process.stdin.flush()

    def _answer(self, *keys: str, seconds: float | None = None) -> dict:
        """The next line of the worker, which has these keys. A login shell may print others before the first."""
        late = threading.Timer(seconds or 0, self._end, [seconds])
        if seconds:
            late.start()
        try:
            # A line without an end is one that was cut off with the connection.
            while (line := self._process.stdout.readline()).endswith(b"\n"):
                if line.startswith(MARK):
                    return self._checked(line.removeprefix(MARK), keys)
        finally:
            late.cancel()
        self._fail()

    def _checked(self, line: bytes, keys: tuple[str, ...]) -> dict:
        try:
            told = json.loads(line)
        except ValueError:
            told = None
        if isinstance(told, dict) and "error" in told:
            raise ModelFileError(f"{self._board.target}: {one_line(told['error'])}")
        if not isinstance(told, dict) or not {*keys} <= {*told}:
            raise BoardError(
                f"{self._board.target}: the runtime there answers {one_line(line.decode(errors='replace'), 60)!r}, "
                f"without {' and '.join(keys)}: is it of another version? `ftbnn-larq deploy` brings this one"
            )
        return told

    def _end(self, seconds: float) -> None:
        self._late = seconds
        self._process.kill()

    def _fail(self) -> None:
        """Raise what ended the worker."""
        if self._late:
            measures = self._late == self._seconds
            advice = "give it more time with --timeout" if measures else "is it busy with something else?"
            raise BoardError(f"{self._board.target}: no end within {self._late:g} s: {advice}")
        with contextlib.suppress(OSError):  # what it did not read
            self._process.stdin.close()
        status = self._process.wait()
        said = self._said.decode(errors="replace")
        if status == 255 or not self._board.is_there():
            raise BoardError(self._board.lost(status, said))
        raise BoardError(f"{self._board.target}: the runtime ended with status {status} ({reason_of(said)})")
