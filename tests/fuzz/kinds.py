"""The kinds of cases, and how often each is drawn.

A kind is a function of a `random.Random` and an empty folder. It makes a damaged file there, or odd arguments, and
reads them through the functions that the commands call. What is drawn comes from the generator alone.
"""

from __future__ import annotations

import random
import re
import tempfile
from pathlib import Path

from tests.fuzz import arguments, documents, flatbuffers, pictures, text, weights
from tests.fuzz.planted import PLANTED

# Kind -> its function, and its share. Those that build networks take a second, all others milliseconds.
KINDS = {
    "config.json": (documents.config, 20),
    "checkpoint records": (documents.checkpoint, 8),
    "result.json and metrics.csv": (documents.results, 10),
    "model.json": (documents.sidecar, 15),
    "measurements": (documents.measurement, 12),
    "recipe.toml": (documents.recipe_file, 12),
    "weights (.npz)": (weights.compact, 10),
    "weights (.h5)": (weights.hdf5, 4),
    "Keras files": (weights.keras_file, 5),
    "networks of damaged runs": (documents.network, 1),
    "pictures": (pictures.picture, 25),
    "folders of pictures": (pictures.folder, 3),
    "flatbuffers": (flatbuffers.read, 25),
    "flatbuffers in interpreters": (flatbuffers.run, 2),
    "text of the benchmark tool": (text.tool, 15),
    "facts of a board": (text.facts, 4),
    "reports": (documents.report_page, 1),
    "command lines": (arguments.refused, 20),
}


def drawn(seed: int, kind: str | None = None) -> tuple[str, random.Random]:
    """The kind of the case with a seed, and the generator that it is drawn from."""
    rng = random.Random(seed)
    (own,) = rng.choices(list(KINDS), [share for _, share in KINDS.values()])
    return kind or own, rng


def finding(seed: int, kind: str | None = None) -> str | None:
    """Run a case. What it found, None for nothing: the library's errors and OSError are what a user is told."""
    from ftbnn_larq.errors import FtbnnError
    from ftbnn_runtime.errors import Error

    name, rng = drawn(seed, kind)
    with tempfile.TemporaryDirectory(prefix="ftbnn-fuzz-") as folder:
        try:
            {**KINDS, **PLANTED}[name][0](rng, Path(folder))
        except (FtbnnError, OSError, Error) as error:
            return _unfit(str(error))
        except Exception as error:
            return _told(error)
    return None


def _unfit(message: str) -> str | None:
    """What is wrong with a message: it speaks of Python, or is longer than anyone reads."""
    if re.search(r"Traceback|(Key|Type|Attribute|Index|ZeroDivision)Error:", message):
        return f"an error of Python is shown: {message[:300]}"
    return f"a message of {len(message):,} characters: {message[:100]}" if len(message) > 3_000 else None


def _told(error: Exception) -> str:
    """An exception and where it was raised, the last line of the project's own first."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if re.search(r"ftbnn_(larq|runtime)|/zoo/", frame.filename)] or frames
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(own[-3:]))
    return (
        f"{type(error).__name__}: {' '.join(str(error).split())[:200]} ({places}; in {Path(frames[-1].filename).name})"
    )
