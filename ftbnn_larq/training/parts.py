"""The parts of a training, one after the other: each has an optimizer and a learning rate schedule of its own."""

from __future__ import annotations

import dataclasses

from ftbnn_larq.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a training.

    Attributes:
        first, last: epochs before it, and after it.
        recipe: that of the training, with this part's learning rate and patience.
        head_only: whether only the head learns.
        binary: whether its weights are binary.
    """

    first: int
    last: int
    recipe: Recipe
    head_only: bool = False
    binary: bool = True


def parts(how: Recipe) -> list[Part]:
    """The head alone, all layers with float weights, all layers with binary weights; the first two may be missing."""
    head, floats = how.head_epochs, how.head_epochs + how.float_weights_epochs
    # No patience before the last part: the next one starts where the schedule of this one ends.
    early = how.replace(patience=0)
    found = [
        Part(0, head, early.replace(learning_rate=how.learning_rate * how.head_rate), head_only=True),
        Part(head, floats, early, binary=False),
        Part(floats, how.epochs, how),
    ]
    return [part for part in found if part.first < part.last]
