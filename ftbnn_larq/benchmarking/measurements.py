"""measurements/*.json: what was measured, a file a session, kept as it comes in."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

from ftbnn_larq.boards.device import describe
from ftbnn_larq.files import write_json

FOLDER = "measurements"


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

    def keep(self, documents: list[dict]) -> None:
        """Raises OSError if the folder cannot be written."""
        write_json(self.path, documents)


def read_all(folder: str | os.PathLike = FOLDER) -> tuple[list[dict], list[str]]:
    """All measurements below a folder, the oldest first, and the files that hold other things."""
    found, damaged = [], []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            documents = json.loads(path.read_text(encoding="utf-8"))
            documents = documents if isinstance(documents, list) else [documents]
            for document in documents:
                _check(document)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            damaged.append(str(path))
        else:
            found += documents
    return found, damaged


def _check(document: dict) -> None:
    """Raises what comes of it where a document of `benchmark` lacks a figure or name, or has one of another type."""
    latency = document["latency_ms"]
    profile = [*document["operators"], *document["layers"]] if "layers" in document else []
    figures = [document[name] for name in ("threads", "runs", "ratio", "bytes")]
    figures += [latency[name] for name in ("mean", "median", "min", "std")]
    sum([*figures, document["peak_memory_mb"] or 0, *(each["ms"] for each in profile)])
    names = [document[name] for name in ("path", "on", "when", "kernel")]
    "".join([*names, *document["warnings"], *(each["type"] for each in profile)])
    describe(document["device"])
