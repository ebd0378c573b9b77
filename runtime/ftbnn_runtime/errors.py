"""The exception of the package."""

from __future__ import annotations


class Error(Exception):
    """What the user can correct: one line that quotes what was received, and says what to do."""


def one_line(error: BaseException | str, length: int = 300) -> str:
    """A message on one line, cut to `length` characters."""
    return shown(" ".join(str(error).split())[:length]) or type(error).__name__


def shown(text) -> str:
    """A path or another text as it is, but for what ends a line or steers a terminal."""
    return "".join("?" if letter < " " or "\x7f" <= letter <= "\x9f" else letter for letter in str(text))
