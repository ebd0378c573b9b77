"""measurements/*.json: what was measured, a file a session, kept as it comes in."""

from __future__ import annotations

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


def as_text(name: str) -> str:
    """A name for a page. Names of files are any bytes, and a page is text."""
    return name.encode(errors="replace").decode()


class Journal:
    """The file of one session; `keep` writes it whole with all that is known so far.

    Attributes:
        path: of the file, which exists once something was kept.
    """

    def __init__(self, on: str, folder: str | os.PathLike = FOLDER):
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{re.sub(r'[^A-Za-z0-9_.@-]+', '-', on)}"
        self.path = Path(folder) / f"{name}.json"
        attempt = 1
        while self.path.exists():
            attempt += 1
            self.path = Path(folder) / f"{name}-{attempt}.json"

    def keep(self, results: list[dict]) -> None:
        """Raises OSError if the folder cannot be written."""
        write_json(self.path, results)


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
