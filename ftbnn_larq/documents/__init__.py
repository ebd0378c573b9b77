"""The project's documents: a class for each kind, and the one way to read and write them. TensorFlow is not needed.

    config.json            Training        what a run trains
    checkpoints/*.json     Checkpoint      what a run has done so far
    result.json            Result          how good it became
    answers.json           Answers         how good on each class, and what it mistook
    folds.json             Folds           how good the runs of a cross-validation became
    model.json             Sidecar         what a flatbuffer's numbers mean
    description in .npz    Weights         whose weights these are
    measurements/*.json    Measurement     how fast a flatbuffer is

Nothing in a file is trusted: its size is checked before it is read, types by msgspec, and figures before anything is
built of them. Keys that a class does not name are left alone, so that newer files can be read.
"""

from __future__ import annotations

from ftbnn_larq.documents.data import DataConfig
from ftbnn_larq.documents.reading import (
    MOST_BYTES,
    MOST_CLASSES,
    MOST_SIDE,
    check,
    load,
    parse,
    parse_toml,
    quoted,
    read,
    read_toml,
    within,
    write,
)

_LATER = (
    "Answers",
    "Checkpoint",
    "Confusion",
    "Fold",
    "Folds",
    "LengthChange",
    "Measurement",
    "Mistake",
    "Network",
    "OfClass",
    "Result",
    "Scores",
    "Sidecar",
    "Training",
    "Weights",
)
__all__ = [
    "MOST_BYTES",
    "MOST_CLASSES",
    "MOST_SIDE",
    "DataConfig",
    "check",
    "load",
    "parse",
    "parse_toml",
    "quoted",
    "read",
    "read_toml",
    "within",
    "write",
    *_LATER,
]


def __getattr__(name: str):
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Making a dozen classes takes a tenth of the time of `--help`, which needs none.
    from ftbnn_larq.documents import answers, kinds, measurement

    return next(getattr(room, name) for room in (answers, kinds, measurement) if hasattr(room, name))
