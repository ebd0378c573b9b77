"""A session with a board that can run flatbuffers: what that needs is fetched here and brought there.

What runs on the board is on_board.py, sent there; it says how the folder looks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from ftbnn_larq.boards import device, packages
from ftbnn_larq.boards.board import Board, reason_of
from ftbnn_larq.boards.targets import Target
from ftbnn_larq.errors import BoardError
from ftbnn_larq.files import sha256

FOLDER = "ftbnn"
# Of one step on the board; a slow card takes minutes to unpack numpy.
STEP_SECONDS = 900
_HERE = Path(__file__).parent


@contextlib.contextmanager
def silent(size: int) -> Iterator[Callable[[int], None]]:
    """Tells no one."""
    yield lambda count: None


@dataclasses.dataclass(frozen=True)
class Told:
    """What is told while it goes on.

    Attributes:
        on_event: told a line at a time.
        sending: given the number of bytes that are to be sent, a context manager while that lasts; it gives what is
            told how many more were.
    """

    on_event: Callable[[str], None] = lambda line: None
    sending: Callable[[int], AbstractContextManager[Callable[[int], None]]] = silent


QUIET = Told()


class Session:
    """A board that can run flatbuffers.

    Attributes:
        board: the session with it.
        facts: what it is; see `device.parse_facts`.
        place: what wheels have to fit.
    """

    def __init__(self, board: Board, facts: dict, told: Told):
        """Raises BoardError or ToolError: nothing can run there, or what runs is not to be had."""
        self.board, self.facts, self._told = board, facts, told
        self.place = packages.place_of(board, facts)
        self._wheels = packages.wheels(self.place, told.on_event)
        self._script = put_script(board)

    def step(self, name: str, **arguments) -> dict:
        """As `run_step`."""
        return run_step(self.board, self._script, name, **arguments)

    def install(self, version: str, current: str | None, files: dict[str, Path], scripts: dict[str, str], once=False):
        """Put packages, files and scripts into a version's folder on the board, from the current one where it has them.

        Returns:
            Whether there is a venv, and the bytes that were sent.
        """
        with tempfile.TemporaryDirectory() as folder:
            archives = [*self._wheels, packages.runtime(self.place.machine, Path(folder))]
            named = {packages.name_there(archive): archive for archive in archives}
            lacking = self.step(
                "take",
                version=version,
                current=current,
                packages=list(named),
                files={name: sha256(path) for name, path in files.items()},
                once=once,
            )
            sent = [named[name] for name in lacking["packages"]] + [files[name] for name in lacking["files"]]
            size = sum(path.stat().st_size for path in sent)
            with self._told.sending(size) if sent else contextlib.nullcontext() as on_bytes:
                for name in lacking["packages"]:
                    there = self._send(named[name], ".zip", on_bytes)
                    self.step("unpack", version=version, archive=there, to=name)
                for name in lacking["files"]:
                    there = self._send(files[name], ".part", on_bytes)
                    self.step("move", version=version, path=there, to=name)
        told = self.step("finish", version=version, scripts=scripts)
        return told["venv"], size

    def once(self, to: str = FOLDER) -> str:
        """The Python there that has the runtime: of what is deployed, or brought into the session's folder."""
        current, version = self.step("look", to=to)["current"], f"{self.board.work}/runtime"
        if not current:
            self._told.on_event("nothing is deployed there: bringing the runtime for this once")
        self.install(version, current, {}, {}, once=True)
        return f"{version}/python"

    def _send(self, path: Path, suffix: str, on_bytes: Callable[[int], None]) -> str:
        return f"{self.board.work}/{self.board.put(path, suffix, passing=True, on_bytes=on_bytes)}"


@contextlib.contextmanager
def opened(target: Target, told: Told) -> Iterator[Session]:
    """A session with a board that can run flatbuffers. Raises BoardError or ToolError, as `deploy`."""
    told.on_event(f"connecting to {target} ..." if target.address else f"preparing {target.kind} ...")
    with Board(target) as board:
        facts = device.facts_of(board)
        told.on_event(device.describe(facts))
        yield Session(board, facts, told)


def put_script(board: Board) -> str:
    """Send on_board.py, and return its path there."""
    return board.put(_HERE / "on_board.py", ".py", passing=True)


def run_step(board: Board, script: str, name: str, **arguments) -> dict:
    """Run a step of on_board.py, which lies there as `script`. Raises BoardError: it failed; says why."""
    done = board.execute(["python3", script, name, json.dumps(arguments)], seconds=STEP_SECONDS)
    told = re.findall(r"^ftbnn: (\{.*\})\s*$", done.out.decode(errors="replace"), re.MULTILINE)
    found = json.loads(told[-1]) if told else {"error": reason_of(done.err) or f"{name}: exit status {done.status}"}
    if "error" in found:
        raise BoardError(f"{board.target}: {_mended(found['error'])}")
    return found


def _mended(reason: str) -> str:
    return reason_of(reason) if "No space left" in reason else reason
