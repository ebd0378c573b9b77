"""Top-1 and top-5 accuracy, for Keras, LCE and training alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ftbnn_larq.analysis import scores as meaning
from ftbnn_larq.errors import DataError

if TYPE_CHECKING:
    from ftbnn_larq.analysis.answers import Tally


def accuracy(
    predict: Callable,
    batches,
    on_batch: Callable[[int], None] = lambda count: None,
    *,
    are_probabilities: bool = False,
    tally: Tally | None = None,
) -> dict:
    """Top-1 and top-5 accuracy as fractions. With fewer than five classes, top-5 is 1.

    Arguments:
        predict: function from float32 pictures (n, h, w, c) to scores (n, classes); one score is of two classes.
        batches: pairs of pictures and integer labels (n,).
        on_batch: called with the number of pictures after each batch.
        are_probabilities: whether one score is a probability or a logit; see `scores.per_class`.
        tally: given each batch with the answers, if there is one.

    Returns:
        `{examples, top1, top5}`; `examples` is the number of pictures.

    Raises:
        DataError: there is no picture.
    """
    import numpy as np

    examples = first = fifth = 0
    for pictures, labels in batches:
        pictures, labels = np.asarray(pictures), np.asarray(labels)
        answered = predict(pictures)
        scores = meaning.per_class(answered, are_probabilities)
        own = np.take_along_axis(scores, labels[:, None].astype(np.int64), axis=1)
        # Classes before the label. Of equal scores the lower class number comes first, as in argmax.
        earlier = np.arange(scores.shape[1])[None] < labels[:, None]
        # Written so that a NaN score counts as wrong.
        rank = (~(scores <= own) | ((scores == own) & earlier)).sum(axis=1)
        examples += len(labels)
        first += int((rank < 1).sum())
        fifth += int((rank < 5).sum())
        if tally:
            # The best other class where the label is not the best: scores that are no numbers are never right.
            others = np.where(np.isnan(scores), np.inf, scores)
            np.put_along_axis(others, labels[:, None].astype(np.int64), -np.inf, axis=1)
            answers = np.where(rank < 1, labels, others.argmax(axis=1))
            shares = None
            if tally.most:
                shares = meaning.probabilities(answered, are_probabilities)
                shares = np.take_along_axis(shares, answers[:, None], axis=1)[:, 0]
            tally.add(pictures, labels, answers, shares)
        on_batch(len(labels))
    if not examples:
        raise DataError("the test split is empty: nothing to evaluate on")
    return {"examples": examples, "top1": first / examples, "top5": fifth / examples}
