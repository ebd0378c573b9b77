"""The one way to read and write documents: sizes and types are checked before anything is built of them."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import sys
from typing import TypeVar

from ftbnn_larq.errors import FtbnnError, one_line
from ftbnn_larq.files import check_ends, write_json

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_BYTES = 16 << 20
# People write TOML themselves.
MOST_BYTES_OF_TOML = 64 << 10
MOST_DOTS = 100

# Networks for more are not built.
MOST_CLASSES = 100_000
MOST_SIDE = 4_096

Document = TypeVar("Document")


def read(path: str | os.PathLike, kind: type[Document], error: type[FtbnnError], most: int = MOST_BYTES) -> Document:
    """The document in a JSON file.

    Arguments:
        path: the file.
        kind: one of the classes of this room, or a type made of them.
        error: raised if the file is damaged. It names the file, the key, what was expected and what is there.
        most: bytes that the file may have.

    Raises:
        OSError: the file is missing, or cannot be read.
    """
    return check(load(path, error, most), kind, path, error)


def load(path: str | os.PathLike, error: type[FtbnnError], most: int = MOST_BYTES):
    """The value in a JSON file, as dicts and lists that `check` takes; raises as `read` does."""
    return parse(_content(path, most, error), path, error)


def read_toml(path: str | os.PathLike, error: type[FtbnnError]) -> dict:
    """The table in a TOML file, in UTF-8, with or without a byte order mark; raises as `read` does."""
    text = _text(_content(path, MOST_BYTES_OF_TOML, error), path, error)
    return parse_toml(text.replace("\r\n", "\n").replace("\r", "\n"), path, error)


def parse_toml(text: str, source: object, error: type[FtbnnError]) -> dict:
    """The table in a TOML text that comes from `source`. Raises `error`."""
    # A key of many parts takes Python a time that grows with their square.
    if any(line.partition("#")[0].count(".") > MOST_DOTS for line in text.split("\n")):
        raise error(f"{source}: a line with more than {MOST_DOTS} dots: such a key is nested too deep")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as problem:
        raise error(f"{source}: not TOML: {_why(problem)}") from problem


def write(path: str | os.PathLike, document) -> None:
    """Write a document, one of the classes of this room, as a JSON file."""
    write_json(path, dataclasses.asdict(document))


def parse(content: bytes, source: object, error: type[FtbnnError]):
    """The value of a JSON text that comes from `source`; NaN is a number in it. Raises `error`."""
    text = _text(content, source, error)
    try:
        return json.loads(text, parse_float=_finite)
    except (ValueError, RecursionError) as problem:
        raise error(f"{source}: damaged: {_why(problem)}") from problem


def check(value, kind: type[Document], source: object, error: type[FtbnnError]) -> Document:
    """`value`, of dicts and lists, as a `kind`. Raises `error`, which names `source` and the key."""
    import msgspec  # Takes as long to import as `--help` does.

    try:
        return msgspec.convert(value, kind)
    except UnicodeEncodeError as problem:
        raise error(f"{source}: damaged: {problem.object[:40]!r} is no key or word of it") from problem
    except (msgspec.ValidationError, RecursionError) as problem:
        raise error(f"{source}: damaged: {_where(value, str(problem))}") from problem


def _content(path, most: int, error: type[FtbnnError]) -> bytes:
    check_ends(path)
    with open(path, "rb") as file:
        # A pipe has no size.
        size = os.fstat(file.fileno()).st_size or most
        content = file.read(min(size, most) + 1)
    if len(content) > most:
        raise error(f"{path}: damaged: larger than {most >> 10:,} KB, expected at most that")
    return content


def _text(content: bytes, source: object, error: type[FtbnnError]) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        reason = f"{problem.reason} at byte {problem.start}"
        raise error(f"{source}: not UTF-8 ({reason}): save it as UTF-8") from problem


def _finite(text: str) -> float:
    if math.isfinite(value := float(text)):
        return value
    raise ValueError(f"{text[:40]} is larger than any number")


def _why(problem: Exception) -> str:
    if isinstance(problem, RecursionError):
        return "lists or objects nested too deep"
    # Python's own sentence on long integers goes on with advice for programmers.
    return one_line(problem, 200).partition("; use sys.")[0]


def _where(value, said: str) -> str:
    """What msgspec said, with the key first and what is there last."""
    match = re.fullmatch(r"(.*?)(?: - at `\$(.*)`)?", said, re.DOTALL)
    reason, place = match[1], (match[2] or "").lstrip(".")
    if missing := re.fullmatch(r"Object missing required field `(.*)`", reason):
        return f"{'.'.join(filter(None, (place, missing[1])))} is missing"
    if expected := re.fullmatch(r"Expected (.*), got .*|Expected (.*)", reason, re.DOTALL):
        reason = f"expected {(expected[1] or expected[2]).replace('`', '')}{_there(value, place)}"
    return f"{place}: {reason}" if place else reason


def _there(value, place: str) -> str:
    for key, index in re.findall(r"\.?([^.\[\]]+)|\[(\d+)\]", place):
        if "[...]" in place:
            return ""
        value = value[int(index)] if index else value[key]
    return f", not {quoted(value)}"


def quoted(value) -> str:
    """A value of a document for a message: short, on one line."""
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**20:
        return "a number of more than 20 digits"
    return one_line(ValueError(json.dumps(value)), 60)


def within(key: str, value, least: float, most: float) -> None:
    """Raise ValueError unless a number, which may be None, is from `least` to `most`."""
    if value is not None and not least <= value <= most:
        raise ValueError(f"{key} is {quoted(value)}, expected {least:,} to {most:,}")
