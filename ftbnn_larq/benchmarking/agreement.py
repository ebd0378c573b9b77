"""Whether a board gives the answers that this machine gives, on real pictures."""

from __future__ import annotations

import os

from ftbnn_larq.analysis.scores import classes
from ftbnn_larq.benchmarking.host import Host
from ftbnn_larq.benchmarking.models import Model
from ftbnn_larq.errors import BoardError, ConfigError
from ftbnn_larq.inference.sidecar import data_config_beside, gives_probabilities

# Largest difference of a score, relative to the range of all scores, that rounding explains. A value that sits on zero
# but for rounding may have its sign turned by another kernel, and all behind it changes then.
TOLERANCE = 1e-3


def test_pictures(path: str | os.PathLike, count: int):
    """The first pictures of the test split a flatbuffer was trained for, float32 (n, h, w, c). Loads TensorFlow.

    Raises:
        ModelFileError, DataError: its JSON or its data set cannot be read.
        ConfigError: there are fewer.
    """
    config = data_config_beside(path)
    from ftbnn_larq.data import load
    from ftbnn_larq.data.pipeline import batches

    data = load(config.name, data_dir=config.data_dir, config=config)
    if data.test.examples < count:
        raise ConfigError(f"{count} pictures: the test split of {config.name} has {data.test.examples}")
    return next(batches(data.test, config, count).as_numpy_iterator())[0]


def agreement(model: Model, answers, pictures) -> dict:
    """Compare a board's scores (n, classes) with those of this machine's interpreter.

    Returns:
        `{pictures, top1_agreement, max_abs_diff, tolerance, beyond_tolerance}`; the last two are absolute, and the
        number of pictures that differ more: signs on zero.

    Raises:
        BoardError: another class on some picture, or scores that are no numbers.
    """
    import numpy as np

    with Host() as host:
        expected = host.answers(model, model.kernel(host.fastest)[0], pictures)
    if not np.isfinite(answers).all():
        raise BoardError(f"{model.name}: the board's scores are not all numbers: another file, or a broken build")
    difference = np.abs(expected - answers).max(axis=1)
    tolerance = TOLERANCE * float(expected.max() - expected.min())
    are_probabilities = gives_probabilities(model.path)
    wrong = np.flatnonzero(classes(expected, are_probabilities) != classes(answers, are_probabilities))
    if len(wrong):
        raise BoardError(
            f"{model.name}: the board sees another class than this machine on {len(wrong)} of {len(pictures)} "
            f"pictures, first on number {wrong[0]}; scores differ by up to {difference.max():.3g}, rounding explains "
            f"{tolerance:.3g}: try --kernel default, or another build of the tool"
        )
    return {
        "pictures": len(pictures),
        "top1_agreement": 1.0,
        "max_abs_diff": float(difference.max()),
        "tolerance": tolerance,
        "beyond_tolerance": int((difference > tolerance).sum()),
    }
