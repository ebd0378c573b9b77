"""The exceptions of the library. Each message quotes what was received and says what to do."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable


def one_line(error: BaseException, length: int = 500) -> str:
    """The message of another library's error on one line, cut to `length` characters."""
    return " ".join(str(error).split())[:length] or type(error).__name__


def short(name: str, length: int = 24) -> str:
    """A name by a stranger for people, such as a folder's: on one line, without control characters, cut to `length`."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def resuming(run) -> str:
    """The command that goes on with a run, as a shell takes it."""
    return f"ftbnn-larq train --resume {shlex.quote(str(run))}"


class FtbnnError(Exception):
    """Base class: an error that the user can correct. The command line prints one line and exits with status 2."""

    def __str__(self):
        # Files and arguments may hold words of any length.
        message = super().__str__()
        return message if len(message) <= 2_000 else f"{message[:1_500]} [...] {message[-400:]}"


class UnknownNameError(FtbnnError, ValueError):
    """An unknown name: of a model, data set, option, key or choice. The message gives the nearest known names."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = ""):
        known, text = sorted(known), str(name)
        # Comparing takes a time that grows with the square of the name.
        text = text if len(text) <= 80 else f"{text[:80]}..."
        # In small letters: whoever mistakes those mistakes nothing else.
        small: dict[str, list[str]] = {}
        for each in known:
            small.setdefault(each.lower(), []).append(each)
        matches = difflib.get_close_matches(text.lower(), small, n=3, cutoff=0.5)
        near = [each for match in matches for each in small[match]]
        # What is no word, such as None, has no quotes.
        told = repr(text) if isinstance(name, str) else text
        offer = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known[:12])}"
        super().__init__(f"unknown {kind} {told}: {offer}{' ' + hint if hint else ''}")


class ConfigError(FtbnnError, ValueError):
    """A value that cannot be used: of an option, a recipe or a model's configuration."""


class DataError(FtbnnError):
    """A data set or picture that is missing, empty, damaged or does not fit the network."""


class RunError(FtbnnError):
    """A run folder that is missing, incomplete or damaged."""


class TrainingError(FtbnnError):
    """A training that cannot continue: the loss is not finite, a worker is lost, or the disk is full."""


class ModelFileError(FtbnnError):
    """A Keras model file, weights file or flatbuffer that cannot be read or run, or does not fit."""


class ConversionError(FtbnnError):
    """A conversion that failed, or whose flatbuffer does not compute what the Keras model computes."""


class BoardError(FtbnnError):
    """A board that cannot be reached or used."""


class ToolError(FtbnnError):
    """A tool that is missing, not for this machine, or failed: LCE's benchmark tool, or ftbnn-runtime's library."""


class TrainingInterrupted(KeyboardInterrupt):
    """A training stopped by Ctrl-C, which `--resume` can continue.

    Attributes:
        run: path of the run folder.
    """

    def __init__(self, run, way: str | None = None):
        super().__init__(f"interrupted; go on with: {way or resuming(run)}")
        self.run = run
