"""The C library: where it is."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import subprocess
import sys
from pathlib import Path

from ftbnn_runtime.errors import Error, one_line, shown

NAME = "libftbnn_runtime.so"
# Takes the place of the package's own library.
VARIABLE = "FTBNN_RUNTIME_LIBRARY"

_HERE = Path(__file__).resolve().parent


def machine() -> str:
    """What this Python runs on: x86_64, aarch64, or another name as `uname -m` prints it."""
    name = platform.machine().lower()
    name = {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)
    if sys.maxsize < 2**32:
        # A system of 32 bits on a processor of 64.
        name = {"x86_64": "i686", "aarch64": "armv7l"}.get(name, name)
    return name


def library(target: str | None = None) -> Path:
    """The path of the C library, which programs take as an external delegate of TFLite.

    The variable FTBNN_RUNTIME_LIBRARY names another one. In a checkout it is built when it is first asked for, and
    again when a source is newer.

    Arguments:
        target: a machine, such as aarch64; this one unless given, the variable is looked at only then.

    Raises:
        Error: there is none for that machine.
    """
    chosen = None if target else os.environ.get(VARIABLE)
    target = target or machine()
    # The loader would look for a name without a folder in the system's places.
    path = Path(chosen).absolute() if chosen else _HERE / "lib" / target / NAME
    if not chosen and (_HERE.parent / "src" / "delegate.c").is_file():
        _build(path, target)
    if path.is_file():
        return path
    if chosen:
        raise Error(f"{VARIABLE} is {shown(chosen)}: no such file")
    raise Error(
        f"ftbnn-runtime has no library for {target} ({shown(path)}): install it again with gcc or ziglang there"
    )


def _build(path: Path, target: str) -> None:
    builder = _HERE.parent / "build_library.py"
    sources = [builder, *(_HERE.parent / "src").iterdir()]
    build_if_older(path, sources, [str(builder), "--target", target, "--output", str(path.parent)])


def build_if_older(path: Path, sources: list[Path], arguments: list[str]) -> None:
    """Build a library by Python and `arguments`, unless it is newer than `sources`; one process at a time.

    Raises:
        Error: it cannot be built.
    """
    newest = max(source.stat().st_mtime for source in sources)

    def is_new() -> bool:
        return path.is_file() and path.stat().st_mtime >= newest

    if is_new():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.parent / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if is_new():
                return
            done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise Error(f"{path.name} cannot be built: {one_line(error)}") from error
    if done.returncode:
        raise Error(f"{path.name} cannot be built: {one_line(done.stderr)}")


def isa() -> str:
    """The instruction set that is taken on this processor: avx512, avx2, neon or portable."""
    function = load(library()).ftbnn_isa
    function.restype = ctypes.c_char_p
    return function().decode()


def load(path: Path) -> ctypes.CDLL:
    """The library in this process.

    Raises:
        Error: the file is not the library, or is of another machine.
    """
    try:
        loaded = ctypes.CDLL(str(path))
        loaded.ftbnn_isa  # noqa: B018 (looks it up)
    except (OSError, AttributeError) as error:
        raise Error(f"{shown(path)} cannot be loaded: {one_line(error)}") from error
    return loaded
