"""The classes of what a network answered on its test split, and of a cross-validation."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from ftbnn_larq.documents.data import MOST_FOLDS
from ftbnn_larq.documents.reading import MOST_CLASSES, quoted, within

MOST_PICTURES = 10**12
# Of a thumbnail.
MOST_LETTERS = 64 << 10
MOST_MISTAKES = 100
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class OfClass:
    """Top-1 of a class: the share of its `examples` pictures that is right; None without pictures."""

    label: str
    examples: int
    top1: float | None

    def __post_init__(self):
        within("examples", self.examples, 0, MOST_PICTURES)
        within("top1", self.top1, 0, 1)


@dataclass(frozen=True)
class Confusion:
    """`examples` pictures of the class `label` were taken for `predicted`."""

    label: str
    predicted: str
    examples: int

    def __post_init__(self):
        within("examples", self.examples, 1, MOST_PICTURES)


@dataclass(frozen=True)
class Mistake:
    """A picture that was taken for another class.

    Attributes:
        label, predicted: its class, and the network's answer.
        probability: of the answer, as the network says.
        picture: a thumbnail, a PNG file in Base64.
        file: its name within the data set; None of a picture that is no file.
    """

    label: str
    predicted: str
    probability: float
    picture: str
    file: str | None = None

    def __post_init__(self):
        within("probability", self.probability, 0, 1)
        within("the letters of picture", len(self.picture), 1, MOST_LETTERS)
        try:
            content = base64.b64decode(self.picture, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"picture is {quoted(self.picture[:40])}, expected Base64") from error
        if not content.startswith(PNG):
            raise ValueError(f"picture is {quoted(self.picture[:40])}, expected a PNG file")


@dataclass(frozen=True)
class Answers:
    """What a network answered on `examples` pictures of its test split.

    Attributes:
        per_class: top-1 of each class, in the order of the network's outputs.
        confusion: what of the confusion matrix is off its diagonal and not 0, the most frequent first.
        mistakes: those with the highest probability, the highest first.
    """

    examples: int
    per_class: tuple[OfClass, ...]
    confusion: tuple[Confusion, ...]
    mistakes: tuple[Mistake, ...]

    def __post_init__(self):
        within("examples", self.examples, 0, MOST_PICTURES)
        within("the number of per_class", len(self.per_class), 1, MOST_CLASSES)
        within("the number of mistakes", len(self.mistakes), 0, MOST_MISTAKES)
        known = {row.label for row in self.per_class}
        for row in (*self.confusion, *self.mistakes):
            for label in (row.label, row.predicted):
                if label not in known:
                    raise ValueError(f"label or predicted is {quoted(label)}, expected a label of per_class")


@dataclass(frozen=True)
class Fold:
    """A run of a cross-validation: the number of its fold, its folder, and top-1 and top-5 on `examples` pictures."""

    fold: int
    run: str
    examples: int
    top1: float
    top5: float

    def __post_init__(self):
        within("fold", self.fold, 1, MOST_FOLDS)
        within("examples", self.examples, 0, MOST_PICTURES)
        within("top1", self.top1, 0, 1)
        within("top5", self.top5, 0, 1)


@dataclass(frozen=True)
class Folds:
    """What a cross-validation found.

    Attributes:
        path: of its folder.
        model, dataset: their names.
        folds: the runs.
        top1: mean of the folds' top-1.
        std: standard deviation of the folds' top-1, with one less than their number as divisor.
        seconds: of training, of all runs together.
    """

    path: str
    model: str
    dataset: str
    folds: tuple[Fold, ...]
    top1: float
    std: float
    seconds: float

    def __post_init__(self):
        within("the number of folds", len(self.folds), 2, MOST_FOLDS)
        within("top1", self.top1, 0, 1)
        within("std", self.std, 0, 1)
        within("seconds", self.seconds, 0, 1e12)
