"""What a network's scores say. One score is of two classes: the higher it is, the more it is the second one."""

from __future__ import annotations


def per_class(scores, are_probabilities: bool):
    """Scores (n, classes) as they are; of one score (n, 1) those of its two classes (n, 2).

    Arguments:
        are_probabilities: whether the one score is the second class's probability (behind a sigmoid), or a logit, which
            is compared with 0.
    """
    import numpy as np

    scores = np.asarray(scores)
    if scores.shape[1] != 1:
        return scores
    return np.concatenate([1 - scores if are_probabilities else np.zeros_like(scores), scores], axis=1)


def classes(scores, are_probabilities: bool):
    """The class of each picture, int64 (n,)."""
    return per_class(scores, are_probabilities).argmax(axis=1)


def agreement(scores, others, are_probabilities: bool) -> float:
    """The share of pictures whose class is the same by both."""
    return float((classes(scores, are_probabilities) == classes(others, are_probabilities)).mean())


def probabilities(scores, are_probabilities: bool):
    """Probabilities (n, classes), of one score (n, 2)."""
    import numpy as np

    scores = per_class(scores, are_probabilities)
    if are_probabilities:
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
