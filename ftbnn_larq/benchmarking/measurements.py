"""measurements/*.json: what was measured, a file a session, kept as it comes in."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import time
from pathlib import Path

from ftbnn_larq import documents
from ftbnn_larq.documents.measurement import Measurement
from ftbnn_larq.errors import DataError
from ftbnn_larq.files import write_json

FOLDER = "measurements"
# When something was measured, with the clock's zone.
WHEN = "%Y-%m-%dT%H:%M:%S%z"


def as_text(name: str) -> str:
    """A name for a page. Names of files are any bytes, and a page is text."""
    return name.encode(errors="replace").decode()


class Journal:
    """The file of one session; `keep` writes it whole with all that is known so far.

    Attributes:
        path: of the file; None until something was kept.
    """

    def __init__(self, on: str, folder: str | os.PathLike = FOLDER):
        self._folder, self.path = Path(folder), None
        self._name = f"{time.strftime('%Y%m%d-%H%M%S')}-{re.sub(r'[^A-Za-z0-9_.@-]+', '-', on)}"

    def keep(self, results: list[dict]) -> None:
        """Raises OSError if the folder cannot be written."""
        if self.path:
            write_json(self.path, results)
            return
        path = self._taken()
        try:
            write_json(path, results)
        except BaseException:
            path.unlink()
            raise
        self.path = path

    def _taken(self) -> Path:
        """A new file, for another session may have begun in the same second."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for attempt in itertools.count(1):
            path = self._folder / (f"{self._name}.json" if attempt == 1 else f"{self._name}-{attempt}.json")
            with contextlib.suppress(FileExistsError), open(path, "x", encoding="utf-8") as file:
                file.write("[]")  # what a report reads until then
                return path


def read_all(folder: str | os.PathLike = FOLDER) -> tuple[list[dict], list[str]]:
    """All measurements below a folder, the oldest first, and the files that hold other things."""
    found, damaged = [], []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            rows = json.loads(as_text(json.dumps(documents.load(path, DataError), ensure_ascii=False)))
            rows = rows if isinstance(rows, list) else [rows]
            documents.check(rows, list[Measurement], path, DataError)
        except (OSError, DataError, RecursionError):
            damaged.append(as_text(str(path)))
        else:
            found += rows
    return found, damaged
