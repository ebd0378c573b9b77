"""Names of ImageNet's classes (ILSVRC 2012)."""

from __future__ import annotations

import functools
from pathlib import Path

# TFDS's name of the data set.
NAME = "imagenet2012"


@functools.cache
def _names() -> dict[str, str]:
    """WordNet's number of each class -> its English name, in the order of the networks' outputs."""
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines if not line.startswith("#"))


def labels() -> tuple[str, ...]:
    """English names of the 1,000 classes, in the order of the networks' outputs."""
    return tuple(_names().values())


def in_english(labels: tuple[str, ...]) -> tuple[str, ...]:
    """`labels` with English names if all are WordNet's numbers of ImageNet's classes, else unchanged.

    TFDS has the numbers, such as n01440764, and so have the folders in which ImageNet comes.
    """
    names = _names()
    return tuple(names[label] for label in labels) if names.keys() >= set(labels) else tuple(labels)
