"""Which preprocessing a network was trained with: said by the user, seen in its first layers, or found by trying."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ftbnn_larq.analysis import calls, scores
from ftbnn_larq.data import Data, pipeline
from ftbnn_larq.data.preprocessing import KNOWN, STANDARD, parse
from ftbnn_larq.errors import ConfigError

# Pictures of the training split that each is tried on. They are taken from its first rows: the training split of
# ImageNet has 140 GB.
PICTURES, FIRST_ROWS = 512, 50_000
# Of top-1. Two that are as close as that cannot be told apart by figures.
CLOSE = 0.02
# Largest range of what a first layer makes of pixels from 0 to 255, if it is meant for them.
SCALED = 20.0

_LAYERS = tf.keras.layers
# Layers that may stand in front of the one that scales, because they keep the range of pixels.
_KEEPING = (tf.keras.Model, _LAYERS.InputLayer, _LAYERS.Resizing, _LAYERS.CenterCrop, _LAYERS.RandomCrop)
_KEEPING += (_LAYERS.RandomFlip, _LAYERS.RandomTranslation, _LAYERS.RandomRotation, _LAYERS.RandomZoom)
_KEEPING += (_LAYERS.RandomContrast, _LAYERS.RandomBrightness, _LAYERS.RandomHeight, _LAYERS.RandomWidth)
_KEEPING += (_LAYERS.ZeroPadding2D, _LAYERS.Cropping2D)


@dataclasses.dataclass(frozen=True)
class Choice:
    """The preprocessing that was chosen: (pixel / 255 - mean) / std.

    Attributes:
        name: a key of `preprocessing.KNOWN`.
        mean, std: one number per channel.
        chosen_by: "training" (what the network was trained with is known), "user", "network" (its first layers scale
            pixels), "trial", or "assumption", where a trial could not tell.
        pictures: of the training split that each was tried on; None without a trial.
        top1: name -> top-1 in the trial, as a fraction; the best first.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    chosen_by: str
    pictures: int | None = None
    top1: dict[str, float] | None = None

    def told(self) -> str:
        """A line for the user."""
        if self.chosen_by == "network":
            return f"preprocessing: {self.name}, because the network scales pixels itself"
        if self.chosen_by == "trial":
            return f"preprocessing: {self.name} ({_figures(self.pictures, self.top1)})"
        if self.chosen_by == "assumption":
            return (
                f"preprocessing: {self.name}, assumed, for others are too close ({_figures(self.pictures, self.top1)})"
            )
        return f"preprocessing: {self.name}"


@dataclasses.dataclass(frozen=True)
class Trial:
    """How well a network does with each preprocessing.

    Attributes:
        pictures: of the training split.
        top1: name -> top-1 as a fraction; the best first.
        data: name -> the data set with that preprocessing, in the same order.
        rivals: those within `CLOSE` of the best that see other classes on some pictures.
    """

    pictures: int
    top1: dict[str, float]
    data: dict[str, Data]
    rivals: tuple[str, ...]

    @property
    def best(self) -> str:
        return next(iter(self.top1))

    @property
    def figures(self) -> str:
        return _figures(self.pictures, self.top1)


def _figures(pictures: int, top1: dict[str, float]) -> str:
    return f"top-1 on {pictures} training pictures: {', '.join(f'{name} {value:.1%}' for name, value in top1.items())}"


def chosen(data: Data, by: str, name: str = STANDARD, trial: Trial | None = None) -> Choice:
    """What is told and stored of a data set's preprocessing."""
    config = data.config
    found = (trial.pictures, trial.top1) if trial else ()
    return Choice(name, tuple(config.mean), tuple(config.std), by, *found)


def given(data: Data, name: str) -> tuple[Data, Choice]:
    """The data set with the preprocessing that the user gave; see `preprocessing.parse`.

    Raises:
        UnknownNameError, ConfigError: no such preprocessing, or one for another number of channels.
    """
    wanted = parse(name)
    # "standard" alone is measured, for `data` may have the mean of a run, or of another preprocessing.
    data = _with(data, wanted) if wanted.mean else pipeline.with_statistics(data)
    return data, chosen(data, "user", wanted.name)


def found(
    data: Data, predict: Callable, *, are_probabilities: bool, model=None, assumed: str = ""
) -> tuple[Data, Choice]:
    """The data set with the preprocessing of a network that does not say how it was trained.

    Arguments:
        data: with its own mean and deviation, at the network's size, with its classes.
        predict: function from float32 pictures (n, h, w, c) to scores (n, classes) or (n, 1).
        are_probabilities: whether the scores are probabilities; see `scores`.
        model: the Keras model, where there is one.
        assumed: what to take where several do equally well, and it matters which.

    Raises:
        ConfigError: several do equally well, it matters which, and none is assumed.
    """
    if model is not None and scales_pixels(model):
        data = _with(data, KNOWN["raw"])
        return data, chosen(data, "network", "raw")
    trial = tried(data, predict, are_probabilities)
    if trial.rivals and assumed:
        name = assumed if assumed in trial.rivals else trial.best
        return trial.data[name], chosen(trial.data[name], "assumption", name, trial)
    if trial.rivals:
        close = f"{', '.join([trial.best, *trial.rivals[:-1]])} and {trial.rivals[-1]}"
        raise ConfigError(
            f"how were pixels prepared when the network was trained? {trial.figures}; {close} are too close to tell: "
            "say it with --preprocessing NAME"
        )
    best = trial.data[trial.best]
    return best, chosen(best, "trial", trial.best, trial)


def tried(data: Data, predict: Callable, are_probabilities: bool) -> Trial:
    """Try each preprocessing on labelled pictures of the training split; arguments as for `found`."""
    near = dataclasses.replace(
        data.train, examples=min(data.train.examples, FIRST_ROWS), rows=data.train.rows.take(FIRST_ROWS)
    )
    split = pipeline.spread(near, PICTURES)
    batches = list(pipeline.pictures(split, data.config).batch(64).as_numpy_iterator())
    labels = np.concatenate([each for _, each in batches])
    rows = []
    for name, wanted in KNOWN.items():
        if not wanted.fits(data.config.input_shape[2]):
            continue
        prepared = _with(data, wanted)
        answers = [predict(pipeline.normalise(pictures, prepared.config).numpy()) for pictures, _ in batches]
        answers = np.concatenate([np.asarray(each) for each in answers])
        seen = np.where(np.isfinite(answers).all(axis=1), scores.classes(answers, are_probabilities), -1)
        own = np.take_along_axis(scores.probabilities(answers, are_probabilities), labels[:, None], axis=1)
        # Of equal top-1 the lower cross-entropy is better; what is no number is worst.
        loss = float(-np.log(np.clip(np.nan_to_num(own), 1e-7, 1)).mean())
        rows.append((float((seen == labels).mean()), -loss, name, prepared, seen))
    rows.sort(key=lambda row: row[:2], reverse=True)
    best = rows[0]
    rivals = [row for row in rows[1:] if best[0] - row[0] <= CLOSE + 1e-9 and (row[4] != best[4]).any()]
    return Trial(
        len(labels), {row[2]: row[0] for row in rows}, {row[2]: row[3] for row in rows}, tuple(row[2] for row in rivals)
    )


def scales_pixels(model: tf.keras.Model) -> bool:
    """Whether a model begins with a layer that scales pixels from 0 to 255: Rescaling or Normalization."""
    for call in calls.trace(model):
        if isinstance(call.layer, _LAYERS.Rescaling | _LAYERS.Normalization):
            black = tf.zeros(call.input_shape)
            return float(tf.reduce_max(tf.abs(call.layer(black + 255) - call.layer(black)))) <= SCALED
        if not isinstance(call.layer, _KEEPING):
            break
    return False


def _with(data: Data, wanted) -> Data:
    return dataclasses.replace(data, config=wanted.of(data.config))
