"""What is known of the pictures of a folder: each is read once and remembered in the user's cache.

A picture is known by its path, its size and the time of its last change. One that TensorFlow cannot read has a PNG copy
in the cache, made by Pillow and named after the picture's content.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ftbnn_larq import documents
from ftbnn_larq.data.listing import File
from ftbnn_larq.data.pictures import look, read_picture
from ftbnn_larq.errors import ConfigError, DataError
from ftbnn_larq.files import user_cache, write_text, written_whole
from ftbnn_runtime.formats import SUFFIXES

FORMAT = 2
# Of an index: some ten million pictures.
MOST_BYTES = 1 << 30
# Reading fewer takes a second or two.
WORTH_A_BAR = 1_000


class Record(NamedTuple):
    """What is remembered of a file.

    Attributes:
        size, changed: of the file, as in `listing.File`.
        problem: why it cannot be read as a picture, "" for a sound one.
        width, height: in pixels, upright.
        orientation: for TensorFlow, EXIF's.
        digest: of the file's bytes.
        copied: whether TensorFlow reads a copy.
    """

    size: int
    changed: int
    problem: str = ""
    width: int = 0
    height: int = 0
    orientation: int = 1
    digest: str = ""
    copied: bool = False

    def path(self, own: str) -> str:
        """What TensorFlow reads for the file `own`."""
        return str(_copy(self.digest)) if self.copied else own


@dataclasses.dataclass(frozen=True)
class _Index:
    format: int
    root: str
    files: dict[str, Record]


def _copy(digest: str) -> Path:
    return user_cache() / "pictures" / f"{digest}.png"


def _index(root: str) -> Path:
    return user_cache() / "folders" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:24]}.json"


def records(root: str, files: Iterable[File]) -> dict[str, Record]:
    """What is known of each file, by its path. What is not known yet is read, with a progress bar.

    Arguments:
        root: the folder, as an absolute path; its index has this name.
        files: what may be pictures in it.

    Raises:
        ConfigError: the copy of a picture cannot be written.
    """
    files = list(files)
    remembered = _remembered(_index(root), root)
    found = {file.path: remembered.get(file.path) for file in files}
    unknown = [file for file in files if not _holds(found[file.path], file)]
    if not unknown:
        return found
    try:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for file, record in zip(unknown, _watched(pool.map(_read, unknown), len(unknown)), strict=True):
                found[file.path] = record
    finally:
        # What was read before Ctrl-C need not be read again.
        _remember(_index(root), root, found)
    return found


def _holds(record: Record | None, file: File) -> bool:
    # Why a picture cannot be read may have passed since: a right, a disk, another version of Pillow.
    known = record is not None and not (record.problem and file.suffix in SUFFIXES)
    known = known and (record.size, record.changed) == (file.size, file.changed)
    return known and (not record.copied or _copy(record.digest).is_file())


def _watched(results, count: int):
    if count < WORTH_A_BAR:
        return results
    from rich.console import Console
    from rich.progress import track

    return track(results, "checking pictures", count, console=Console(stderr=True), transient=True)


def _read(file: File) -> Record:
    from ftbnn_larq.data.decoding import is_sound

    try:
        if file.size < 0:
            raise DataError(f"{file.path}: a link to nowhere")
        seen = look(file.path, proven=file.suffix not in SUFFIXES)
        contents = Path(file.path).read_bytes()
        digest = hashlib.blake2b(contents, digest_size=16).hexdigest()
        plain = seen.plain and is_sound(contents)
        if not plain:
            if not _copy(digest).is_file():
                _write_copy(file.path, digest)
            # It is upright. Of a turned TIFF some versions of Pillow tell the upright size, and some its own.
            seen = look(_copy(digest))
    except DataError as error:
        return Record(file.size, file.changed, problem=str(error))
    except OSError as error:
        return Record(file.size, file.changed, problem=f"{file.path}: cannot be read ({error.strerror})")
    return Record(file.size, file.changed, "", seen.width, seen.height, seen.orientation, digest, not plain)


def _write_copy(path: str, digest: str) -> None:
    from PIL import Image

    upright = Image.fromarray(read_picture(path))
    try:
        with written_whole(_copy(digest)) as temporary:
            upright.save(temporary, compress_level=1)
    except OSError as error:
        raise ConfigError(
            f"{_copy(digest)}: cannot be written ({error.strerror}), and TensorFlow cannot read {path} itself: set "
            "XDG_CACHE_HOME to a folder with room"
        ) from error


def _remembered(index: Path, root: str) -> dict[str, Record]:
    """The index, by path; empty if there is none, or it is of another version or damaged."""
    try:
        document = documents.read(index, _Index, DataError, MOST_BYTES)
    except (OSError, DataError):
        return {}
    if document.format != FORMAT or document.root != root:
        return {}
    return {f"{root}{os.sep}{path}": record for path, record in document.files.items()}


def _remember(index: Path, root: str, found: dict[str, Record | None]) -> None:
    rows = {path[len(root) + 1 :]: record for path, record in found.items() if record is not None}
    # Without the cache all is read again at the next start, and nothing else.
    with contextlib.suppress(OSError):
        write_text(index, json.dumps(dataclasses.asdict(_Index(FORMAT, root, rows))))
