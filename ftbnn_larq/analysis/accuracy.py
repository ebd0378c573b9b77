"""Top-1 and top-5 accuracy, counted in one place for Keras, LCE and training."""

from __future__ import annotations

from collections.abc import Callable

from ftbnn_larq.errors import DataError


def accuracy(predict: Callable, batches, on_batch: Callable[[int], None] = lambda count: None) -> dict:
    """Top-1 and top-5 accuracy as fractions; with fewer than five classes top-5 is 1.

    Arguments:
        predict: float32 pictures (n, h, w, c) in, scores (n, classes) out.
        batches: pairs of pictures and integer classes (n,).
        on_batch: told after each batch how many pictures it had.

    Raises:
        DataError: no picture.
    """
    import numpy as np

    examples = first = fifth = 0
    for pictures, labels in batches:
        pictures, labels = np.asarray(pictures), np.asarray(labels)
        scores = np.asarray(predict(pictures))
        own = np.take_along_axis(scores, labels[:, None].astype(np.int64), axis=1)
        # Classes before the right one; of equal scores the lower class number comes first, as in argmax.
        earlier = np.arange(scores.shape[1])[None] < labels[:, None]
        # Written so that a score that is no number counts as wrong.
        rank = (~(scores <= own) | ((scores == own) & earlier)).sum(axis=1)
        examples += len(labels)
        first += int((rank < 1).sum())
        fifth += int((rank < 5).sum())
        on_batch(len(labels))
    if not examples:
        raise DataError("the test split is empty: nothing to evaluate on")
    return {"examples": examples, "top1": first / examples, "top5": fifth / examples}
