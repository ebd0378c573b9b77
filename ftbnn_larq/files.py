"""Read and write files. They are written whole or not at all: to a temporary path in the same folder, then renamed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

SCRATCH = ".writing-"


def check_ends(path: str | os.PathLike) -> None:
    """Refuse what may be read for ever: a device, and a pipe to which no one may write.

    A pipe that is open already is one that a shell made, such as /dev/fd/63.

    Raises:
        OSError: it is none of a file, a folder and such a pipe, or does not exist.
    """
    mode = os.stat(path).st_mode
    is_given = stat.S_ISFIFO(mode) and os.path.realpath(path).startswith("/proc/")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or is_given):
        raise OSError(errno.EINVAL, "is no file, but a pipe or a device", os.fspath(path))


def check_replaceable(path: str | os.PathLike) -> None:
    """Refuse to put a file in the place of a device, a pipe or a socket, which others use.

    Raises:
        OSError: it is one.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "is a pipe or a device, whose place a file would take: name another", str(path))


@contextlib.contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path, for a file or a folder, that is renamed to `path` if the block succeeds.

    It has the same name and suffix as `path`, in a temporary folder beside it.

    Raises:
        OSError: the folder cannot be written, the disk is full, or `path` is a device. It names `path`. Nothing is left
            behind.
    """
    path = Path(path)
    check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _naming(path, path.parent / SCRATCH):
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=path.parent))
    # Held as long as this process lives, so that others know whether it still writes.
    held = os.open(scratch, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        temporary = scratch / path.name
        with _naming(path, scratch):
            yield temporary
            if path.is_dir() and temporary.is_dir():
                shutil.rmtree(path)
            os.replace(temporary, path)
    finally:
        os.close(held)
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _naming(path: Path, scratch: Path) -> Iterator[None]:
    """Let an OSError tell of `path`. Of a full disk it names no file, or the temporary one, which is gone by then."""
    try:
        yield
    except OSError as error:
        if error.filename is None or os.fsdecode(error.filename).startswith(str(scratch)):
            error.filename = str(path)
        raise


@contextlib.contextmanager
def written_together(path: str | os.PathLike, beside: str | os.PathLike) -> Iterator[tuple[Path, Path]]:
    """`written_whole` for a file and what is told of it in a file `beside`.

    No reader finds the one of before with the other of after: for a moment there is none `beside`.
    """
    with written_whole(beside) as told, written_whole(path) as temporary:
        yield temporary, told
        if not (temporary.is_file() and told.is_file()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(temporary))
        Path(beside).unlink(missing_ok=True)


def remove_leftovers(folder: str | os.PathLike) -> None:
    """Remove what processes that were killed left half-written below a folder."""
    for scratch in list(Path(folder).rglob(f"{SCRATCH}*")):
        # A file system without locks does not tell whether it is in use: it stays.
        with contextlib.suppress(OSError):
            held = os.open(scratch, os.O_RDONLY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(scratch, ignore_errors=True)
            finally:
                os.close(held)


def duplicate(path: str | os.PathLike, copy: str | os.PathLike) -> None:
    """Copy a file that is only ever replaced, never changed: where there are links, that takes no room."""
    with written_whole(copy) as temporary:
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)


def write_text(path: str | os.PathLike, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, document) -> None:
    write_text(path, json.dumps(document, indent=2) + "\n")


def read_json(path: str | os.PathLike):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def user_cache() -> Path:
    """The project's folder in the user's cache; it may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftbnn-larq"


def sha256(path: str | os.PathLike) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
