"""Classify picture files with a run in Keras or a flatbuffer in an interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ftbnn_larq import zoo
from ftbnn_larq.analysis import scores
from ftbnn_larq.data.formats import DataConfig
from ftbnn_larq.data.pictures import read_picture
from ftbnn_larq.errors import ConfigError, ModelFileError
from ftbnn_larq.inference.interpreter import Interpreter, check_engine
from ftbnn_larq.inference.sidecar import data_config_beside, gives_probabilities, sidecar_path
from ftbnn_larq.zoo import trained


def predict(
    path: str | os.PathLike,
    images: Sequence[str | os.PathLike],
    *,
    top: int = 5,
    engine: str | None = None,
    runner: Callable | None = None,
) -> list[dict]:
    """The most probable classes of picture files.

    Pictures are resized and normalized as in the network's training.

    Arguments:
        path: a run folder or larq_zoo:NAME:imagenet (both run in Keras), a flatbuffer with its JSON file beside it, or
            NAME:DATASET for a published flatbuffer.
        images: picture files.
        top: number of classes per picture, at least 1.
        engine: what runs a flatbuffer: "ftbnn" (unless given) is ftbnn-runtime in TFLite's interpreter, "lce" LCE's
            interpreter.
        runner: what opens a flatbuffer in place of an engine; see `evaluation.evaluate`.

    Returns:
        `[{image, top: [[label, probability], ...]}]`, most probable class first.

    Raises:
        RunError: `path` is not a run folder, or the run has no weights.
        ModelFileError: a file is missing or damaged, or larq-zoo's weights cannot be downloaded.
        UnknownNameError: there is no such engine.
        ConfigError: nothing is published for DATASET; an engine for what Keras runs; a Keras file; a `top` below 1.
        DataError: a picture cannot be read.
        ToolError: ftbnn-runtime has no library for this machine.
    """
    import numpy as np

    path = check(path, engine)
    if top < 1:
        raise ConfigError(f"top = {top}: give 1 or more")
    if not len(images):
        return []
    if trained.in_keras(path):
        source = trained.find(path)
        config = source.data
        pictures = _prepare(images, config)
        probabilities = source.load().predict(pictures, batch_size=64, verbose=0)
    else:
        config = data_config_beside(path)
        pictures = _prepare(images, config)
        with runner(path) if runner else Interpreter(path, engine=engine or "ftbnn") as interpreter:
            answers = interpreter.predict(pictures)
        probabilities = scores.probabilities(answers, gives_probabilities(path))
        if len(config.labels) != probabilities.shape[1]:
            raise ModelFileError(
                f"{sidecar_path(path)} names {len(config.labels)} classes, but {path.name} gives {answers.shape[1]} "
                "scores: keep the two files together that `ftbnn-larq convert` wrote"
            )
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        {"image": str(image), "top": [[config.labels[index], float(row[index])] for index in order]}
        for image, row, order in zip(images, probabilities, best, strict=True)
    ]


def check(path: str | os.PathLike, engine: str | None) -> Path:
    """Refuse what `predict` refuses before TensorFlow is loaded; gives the path of the network."""
    path = zoo.published_flatbuffer(path)
    keras = trained.in_keras(path)
    if engine:
        check_engine(engine, path if keras else None)
    if keras:
        if not trained.find(path).data:
            raise ConfigError(f"{path}: a Keras file has no labels: convert it with --dataset, and name the result")
    else:
        data_config_beside(path)
    return path


def _prepare(images, config: DataConfig):
    import numpy as np

    from ftbnn_larq.data.pipeline import fit, normalise

    # One at a time: a photograph needs a hundred times the memory of the network's input.
    return np.stack([normalise(fit(read_picture(image), config), config) for image in images])
