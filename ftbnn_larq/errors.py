"""The exceptions of the library: each message says what was received and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def one_line(error: BaseException, length: int = 500) -> str:
    """The message of an error from below, without line breaks, cut to `length` characters."""
    return " ".join(str(error).split())[:length] or type(error).__name__


class FtbnnError(Exception):
    """Something the user can mend. The command line prints it as one line and exits with status 2."""


class UnknownNameError(FtbnnError, ValueError):
    """A name that is in no table; the message offers the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = ""):
        known = sorted(known)
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
        offer = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known[:12])}"
        super().__init__(f"unknown {kind} {name!r}: {offer}{' ' + hint if hint else ''}")


class ConfigError(FtbnnError, ValueError):
    """An option, a recipe or a model's configuration with a value that cannot be used."""


class DataError(FtbnnError):
    """A data set that is missing, empty or damaged."""


class RunError(FtbnnError):
    """A run folder that is missing, incomplete or damaged."""


class TrainingError(FtbnnError):
    """A training that cannot go on: the loss is no number, a worker is lost, the disk is full."""


class ModelFileError(FtbnnError):
    """A flatbuffer or weights file that cannot be read or run."""


class ConversionError(FtbnnError):
    """A conversion that failed, or whose result is not the network that was trained."""


class BoardError(FtbnnError):
    """A board that cannot be reached or used."""


class ToolError(FtbnnError):
    """The benchmark tool: missing, not made for the board, failed, or with an output that cannot be read."""


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during a training that `--resume` can continue. Attribute `run`: its folder."""

    def __init__(self, run):
        super().__init__(f"interrupted; go on with: ftbnn-larq train --resume {run}")
        self.run = run
