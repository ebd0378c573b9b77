"""Cross-validation: a data set divided into folds, each of which is the test split once."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from ftbnn_larq.data.formats import Data, Split
from ftbnn_larq.errors import DataError

# Of the pictures that are not in the fold, as in a folder without splits.
VALIDATION_STEP = 8


def folded(data: Data, fold: tuple[int, int]) -> Data:
    """The data set with one of its folds as the test split.

    The folds have all pictures, but for a test split of the data set's own, which stays out. Each has its share of
    every class. Of the pictures of the other folds one eighth of each class is the validation split. The division is
    the same every time.

    Arguments:
        fold: number of the fold, from 1, and number of folds.

    Raises:
        DataError: a class has fewer pictures than there are folds, or too few for the three splits.
    """
    from sklearn.model_selection import StratifiedKFold

    number, count = fold
    parts = [data.train, data.validation, *(() if data.own_test else (data.test,))]
    every = _joined(parts)
    labels = np.fromiter(every.rows.map(lambda *row: every.read(*row)[1], tf.data.AUTOTUNE).as_numpy_iterator(), int)
    _check(labels, data.config, count)
    # The seed is fixed: the folds do not depend on that of a run.
    division = StratifiedKFold(count, shuffle=True, random_state=0).split(labels, labels)
    rest, test = list(division)[number - 1]
    validation = np.concatenate([rest[labels[rest] == label][1::VALIDATION_STEP] for label in np.unique(labels)])
    train = np.setdiff1d(rest, validation)
    notes = data.notes
    if data.own_test:
        notes += (f"the folds are of {len(labels)} pictures: the test split of {data.config.name} stays out",)
    return dataclasses.replace(
        data,
        config=dataclasses.replace(data.config, fold=fold),
        train=_part(every, train),
        validation=_part(every, np.sort(validation)),
        test=_part(every, test),
        notes=notes,
        fingerprint=data.fingerprint and f"{data.fingerprint} {number}/{count}",
    )


def _check(labels: np.ndarray, config, count: int) -> None:
    for label, pictures in zip(config.labels, np.bincount(labels, minlength=len(config.labels)), strict=True):
        # One for training and one for validation, whatever the fold takes.
        if pictures < count or pictures - -(-pictures // count) < 2:
            raise DataError(
                f"class {label!r} has {pictures} {'picture' if pictures == 1 else 'pictures'}: {count} folds need at "
                f"least {max(count, 4 if count == 2 else 3)}: take fewer folds or more pictures"
            )


def _joined(parts: list[Split]) -> Split:
    rows = parts[0].rows
    for part in parts[1:]:
        rows = rows.concatenate(part.rows)
    return dataclasses.replace(
        parts[0],
        examples=sum(part.examples for part in parts),
        rows=rows,
        names=tuple(name for part in parts for name in part.names),
    )


def _part(every: Split, indices: np.ndarray) -> Split:
    taken = np.zeros(every.examples, bool)
    taken[indices] = True
    chosen = tf.constant(taken)
    rows = every.rows.enumerate().filter(lambda index, _: chosen[index]).map(lambda _, row: row)
    names = tuple(every.names[index] for index in indices) if every.names else ()
    return dataclasses.replace(every, examples=len(indices), rows=rows, names=names)
