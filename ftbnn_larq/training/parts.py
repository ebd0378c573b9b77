"""The parts of a training, one after the other: each has an optimizer and a learning rate schedule of its own."""

from __future__ import annotations

import dataclasses

from ftbnn_larq.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a training.

    Attributes:
        first, last: epochs before it, and after it.
        patience: as in a recipe.
        head_only: whether only the head learns.
        binary: whether its weights are binary.
    """

    first: int
    last: int
    patience: int = 0
    head_only: bool = False
    binary: bool = True


def parts(how: Recipe) -> list[Part]:
    """The head alone, all layers with float weights, all layers with binary weights; the first two may be missing."""
    head, floats = how.head_epochs, how.head_epochs + how.float_weights_epochs
    # No patience before the last part: the next one starts where the schedule of this one ends.
    found = [
        Part(0, head, head_only=True),
        Part(head, floats, binary=False),
        Part(floats, how.epochs, patience=how.patience),
    ]
    return [part for part in found if part.first < part.last]
