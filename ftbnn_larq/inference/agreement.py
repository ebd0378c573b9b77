"""Whether a board gives the answers that this machine gives, on real pictures."""

from __future__ import annotations

import os

from ftbnn_larq.analysis.scores import classes
from ftbnn_larq.errors import BoardError, ConfigError, DataError
from ftbnn_larq.inference.sidecar import data_config_beside, gives_probabilities
from ftbnn_larq.quiet import quiet_native_stderr

# Largest difference of a score, relative to the range of all scores, that rounding explains. A value that sits on zero
# but for rounding may have its sign turned by another kernel, and all behind it changes then.
TOLERANCE = 1e-3
# The same of half of the pictures: that is no rounding, and no sign here and there.
HALF = 0.1


def test_pictures(path: str | os.PathLike, count: int):
    """The first pictures of the test split a flatbuffer was trained for, float32 (n, h, w, c). Loads TensorFlow.

    Raises:
        ModelFileError, DataError: its JSON or its data set cannot be read.
        ConfigError: there are fewer.
    """
    config = data_config_beside(path)
    data = _data(config)
    if data.test.examples < count:
        raise ConfigError(f"{count} pictures: the test split of {config.name} has {data.test.examples}")
    return _first(data, config, count)


def real_pictures(path: str | os.PathLike, count: int) -> tuple:
    """Pictures for a flatbuffer, float32 (n, h, w, c), and the data set they are of. Nothing is downloaded.

    They are of the test split that the flatbuffer was trained for: all of it where it has fewer. Where that is not on
    this machine, they are the embedded digits: real scans, though of other classes.

    Raises:
        ModelFileError: its JSON file cannot be read.
    """
    config = data_config_beside(path)
    with quiet_native_stderr():
        import tensorflow  # noqa: F401 (it prints while it starts)
    try:
        data = _data(config, download=False)
        return _first(data, config, min(count, data.test.examples)), config.name
    except DataError:
        import numpy as np
        from sklearn.datasets import load_digits

        from ftbnn_runtime.pictures import fit, normalise

        scans = np.round(load_digits().images[:count] * (255 / 16)).astype(np.uint8)[..., None]
        fitted = [fit(scan, config.input_shape) for scan in scans]
        return np.stack([normalise(each, config.mean, config.std) for each in fitted]), "digits"


def _data(config, **options):
    from ftbnn_larq.data import load

    return load(config.name, data_dir=config.data_dir, config=config, **options)


def _first(data, config, count: int):
    from ftbnn_larq.data.pipeline import batches

    return next(batches(data.test, config, count).as_numpy_iterator())[0]


def agreement(path: str | os.PathLike, expected, answers, advice: str) -> dict:
    """Compare a board's scores (n, classes) for some pictures with those of this machine, `expected`.

    Arguments:
        path: the flatbuffer.
        advice: what to do where the classes differ, for the message.

    Returns:
        `{pictures, top1_agreement, max_abs_diff, tolerance, beyond_tolerance}`; the last two are absolute, and the
        number of pictures that differ more: signs on zero.

    Raises:
        BoardError: another class on some picture, scores that are no numbers, or far from the expected ones on half of
            the pictures.
    """
    import numpy as np

    if not np.isfinite(answers).all():
        raise BoardError(f"{path}: the board's scores are not all numbers: another file, or a broken build")
    difference = np.abs(expected - answers).max(axis=1)
    span = float(expected.max() - expected.min())
    tolerance = TOLERANCE * span
    are_probabilities = gives_probabilities(path)
    wrong = np.flatnonzero(classes(expected, are_probabilities) != classes(answers, are_probabilities))
    if len(wrong):
        raise BoardError(
            f"{path}: the board sees another class than this machine on {len(wrong)} of {len(expected)} pictures, "
            f"first on number {wrong[0]}; scores differ by up to {difference.max():.3g}, rounding explains "
            f"{tolerance:.3g}: {advice}"
        )
    if np.median(difference) > HALF * span:
        raise BoardError(
            f"{path}: the board's scores differ on half of the pictures by {np.median(difference):.3g} or more, where "
            f"their range is {span:.3g}: {advice}"
        )
    return {
        "pictures": len(expected),
        "top1_agreement": 1.0,
        "max_abs_diff": float(difference.max()),
        "tolerance": tolerance,
        "beyond_tolerance": int((difference > tolerance).sum()),
    }
