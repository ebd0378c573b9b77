"""A session on a board. Its folder and processes are removed when the session ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ftbnn_larq.boards import scripts
from ftbnn_larq.boards.targets import Target, connect
from ftbnn_larq.errors import BoardError
from ftbnn_larq.files import sha256

OPENING_SECONDS = 60
CLOSING_SECONDS = 10
# Seconds between two heartbeats to the board. Without one for `_PATIENCE` seconds, the board cleans up by itself.
_HEARTBEAT = 5
_PATIENCE = 60
# Seconds between two looks at how much was sent.
_LOOK = 0.2


class Done(NamedTuple):
    """The result of a command: exit status, standard output, standard error."""

    status: int
    out: bytes
    err: str


class Board:
    """A session on a board. Use it as a context manager; at its end everything it put there is removed.

    Attributes:
        target: the board.
        work: the session's folder on the board.
    """

    def __init__(self, target: Target, *, keep: bool = False):
        """Connect to a board.

        Arguments:
            target: the board.
            keep: True to leave sent files on the board, by checksum, for the next session.

        Raises:
            BoardError: the board cannot be reached, or has no writable folder.
        """
        self.target, self._keep, self._there = target, keep, {}
        # The path of a socket may have about 100 characters at most.
        long = len(tempfile.gettempdir()) > 60 and os.access("/tmp", os.W_OK)
        self._folder = tempfile.TemporaryDirectory(prefix="ftbnn-", dir="/tmp" if long else None)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the session)
        self._guard = None
        try:
            self._connection = connect(target, Path(self._folder.name))
            self._guard = subprocess.Popen(
                self._connection.argv(scripts.GUARD, str(_PATIENCE)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
            )
            self._lines = queue.SimpleQueue()
            threading.Thread(target=self._listen, daemon=True).start()
            self.work = self._greeting()
        except BaseException:
            self.close()
            raise
        self._ended = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def run(
        self,
        script: str,
        *arguments: str,
        stdin=subprocess.DEVNULL,
        seconds: float | None = 120,
        advice: str = "is it busy with something else?",
    ) -> Done:
        """Run a POSIX shell script on the board.

        Arguments:
            script: the script.
            arguments: its arguments; no shell parses them.
            stdin: its standard input.
            seconds: time limit; None for no limit.
            advice: what to do if it takes longer, for the error message.

        Raises:
            BoardError: the connection is lost, or the script does not end within `seconds`.
        """
        process = subprocess.Popen(
            self._connection.argv(scripts.REPORTING_STATUS.format(script), *arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                out, err = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired as error:
                raise BoardError(f"{self._connection.name}: no end within {seconds:g} s: {advice}") from error
            finally:
                process.kill()
        said = err.decode(errors="replace")
        ends = re.findall(r"^guard: (\d+)\s*$", said, re.MULTILINE)
        # If the guard has ended, the folder is gone too, and the reported status means nothing.
        if not ends or (process.returncode and self._guard.poll() is not None):
            raise BoardError(self.lost(process.returncode, said + self._heard()))
        return Done(
            int(ends[-1]), out.partition(scripts.BEGIN)[2], re.sub(r"^guard: \d+\s*$", "", said, flags=re.MULTILINE)
        )

    def execute(self, argv: list[str], **options) -> Done:
        """Run a program in the session's folder, with options of `run`. It is killed when the session ends.

        Raises:
            BoardError: the connection is lost, or the program does not end within `seconds`.
        """
        return self.run(scripts.RUN, self.work, *argv, **options)

    def talk(self, argv: list[str]) -> subprocess.Popen:
        """Start a program in the session's folder, with pipes. It must end when its standard input does.

        It is killed when the session ends. Behind what a login shell prints it begins a line of its own.
        """
        return subprocess.Popen(
            self._connection.argv(f"echo\n{scripts.RUN}", self.work, *argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def put(
        self,
        path: str | os.PathLike,
        suffix: str,
        *,
        passing: bool = False,
        on_bytes: Callable[[int], None] = lambda count: None,
    ) -> str:
        """Send a file, unless the board has it, and return its path relative to the session's folder.

        On the board it is named by its checksum and `suffix`, so that no local name is parsed by a shell or as a flag.

        Arguments:
            path: the file to send.
            suffix: end of its name on the board.
            passing: True for a file that is not kept for the next session.
            on_bytes: told how many more bytes were sent, all of them in the end.

        Raises:
            BoardError: the board's disk is full, or the file arrives damaged.
        """
        digest = sha256(path)
        if digest in self._there:
            on_bytes(Path(path).stat().st_size)
            return self._there[digest]
        kept = f"../{digest[:16]}{suffix}"
        there = kept if self._keep and not passing else f"./{digest[:16]}{suffix}"
        if not passing and self.run(scripts.HAS, self.work, digest, kept).status == 0:
            there = kept
            on_bytes(Path(path).stat().st_size)
        else:
            with open(path, "rb") as file, _watched(file, on_bytes):
                done = self.run(scripts.SEND, self.work, digest, there, stdin=file, seconds=None)
            if done.status:
                raise BoardError(
                    f"{self._connection.name}: {Path(path).name} cannot be put there: {reason_of(done.err)}"
                )
        self._there[digest] = there
        return there

    def get(self, there: str, size: int) -> bytes:
        """The last `size` bytes of a file in the session's folder.

        Raises:
            BoardError: the file is missing or smaller.
        """
        done = self.run('cat "$1"', f"{self.work}/{there}")
        if done.status or len(done.out) < size:
            reason = reason_of(done.err) or f"{len(done.out)} bytes instead of {size}"
            raise BoardError(f"{self._connection.name}: the tool wrote no {there} ({reason}): take another build of it")
        return done.out[-size:]

    def remove(self, *there: str) -> None:
        """Remove files from the board, by their paths relative to the session's folder."""
        self.run('cd "$1" && shift && rm -f "$@"', self.work, *there)
        self._there = {digest: path for digest, path in self._there.items() if path not in there}

    def is_there(self) -> bool:
        """Whether the session lives: its guard runs."""
        return self._guard.poll() is None

    def close(self) -> None:
        """End the session: the board kills its processes and removes its folder."""
        if self._guard:
            with contextlib.suppress(AttributeError):
                self._ended.set()
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.close()
            try:
                self._guard.wait(CLOSING_SECONDS)
            except subprocess.TimeoutExpired:
                self._guard.kill()
                self._guard.wait()
        self._said.close()
        self._folder.cleanup()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _listen(self) -> None:
        with contextlib.suppress(ValueError):
            for line in self._guard.stdout:
                self._lines.put(line.decode(errors="replace").rstrip("\r\n"))
        self._lines.put(None)

    def _greeting(self) -> str:
        """The guard's first line, with the session's folder. A login shell may print other lines before it."""
        while True:
            try:
                line = self._lines.get(timeout=OPENING_SECONDS)
            except queue.Empty:
                raise BoardError(
                    f"{self._connection.name}: no answer within {OPENING_SECONDS} s: is it switched on and reachable?"
                ) from None
            if line is None:
                self._guard.wait()
                raise BoardError(self.lost(self._guard.returncode, self._heard()))
            if line.startswith("guard: "):
                return line.removeprefix("guard: ")

    def _beat(self) -> None:
        while not self._ended.wait(_HEARTBEAT):
            try:
                self._guard.stdin.write(b".\n")
                self._guard.stdin.flush()
            except (OSError, ValueError):
                return

    def _heard(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def lost(self, status: int | None, said: str) -> str:
        """Why there is no connection, in one line."""
        name, reason = self._connection.name, reason_of(said)
        if fault := self._connection.fault(status, said):
            return fault
        if not hasattr(self, "work"):
            return f"{name}: cannot be used: {reason or f'exit status {status}'}"
        return f"{name}: connection lost{f' ({reason})' if reason else ''}: start again when the board is back"


@contextlib.contextmanager
def _watched(file: BinaryIO, on_bytes: Callable[[int], None]) -> Iterator[None]:
    """Tell how much of a file another process reads, by its place in the file, which both share."""
    told, ended = 0, threading.Event()

    def tell() -> None:
        nonlocal told
        while True:
            is_last = ended.wait(_LOOK)
            place = os.fstat(file.fileno()).st_size if is_last else os.lseek(file.fileno(), 0, os.SEEK_CUR)
            on_bytes(place - told)
            told = place
            if is_last:
                return

    watch = threading.Thread(target=tell, daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()


def reason_of(said: str) -> str:
    """The last line of a program's error output, which usually says why it failed."""
    if "No space left" in said:
        return "its disk is full (No space left on device): make room there"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
