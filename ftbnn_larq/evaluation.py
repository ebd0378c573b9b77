"""Accuracy on a test split, of a run in Keras or of a flatbuffer in LCE: the same pictures, the same count."""

from __future__ import annotations

import os
from collections.abc import Callable

from ftbnn_larq import zoo
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


def evaluate(
    path: str | os.PathLike,
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
    batch_size: int = 256,
    on_start: Callable[[int], None] = lambda examples: None,
    on_batch: Callable[[int], None] = lambda count: None,
) -> dict:
    """Accuracy of a run folder or a .tflite file on the test split of its data set, or of another one.

    Arguments:
        path: a run folder (Keras), a flatbuffer (LCE's interpreter), or NAME:DATASET for a published one.
        dataset, data_dir: another data set with the same classes, in any order; the one it was trained on unless
            given.
        on_start, on_batch: told the number of pictures before, and of each batch after, it is evaluated.

    Returns:
        `{path, dataset, examples, top1, top5}`.

    Raises:
        RunError, ModelFileError, DataError: what was named cannot be read, or does not fit the data.
        ConfigError: nothing is published for DATASET.
    """
    from ftbnn_larq.deploy.interpreter import Interpreter
    from ftbnn_larq.deploy.sidecar import data_config_beside

    path = zoo.published_flatbuffer(path)
    if path.is_file():
        config = data_config_beside(path, needed=dataset is None)
        with Interpreter(path) as interpreter:
            data = _data(config, dataset, data_dir, interpreter.input_shape[1:], interpreter.output_shape[-1])
            return _evaluate(path, data, interpreter.predict, batch_size, on_start, on_batch)

    from ftbnn_larq.data import DataConfig
    from ftbnn_larq.runs import open_run

    run = open_run(path)
    config = DataConfig.from_json(run.config["data"])
    model = run.load_model()
    data = _data(config, dataset, data_dir, model.input_shape[1:], model.output_shape[-1])
    return _evaluate(path, data, model.predict_on_batch, batch_size, on_start, on_batch)


def _data(config, dataset, data_dir, input_shape, classes):
    """The data to evaluate on, in the preprocessing that training used where it is known."""
    import dataclasses

    from ftbnn_larq.data import check_fits, load

    name = dataset or config.name
    if config is None:
        data = load(name, data_dir=data_dir, input_size=input_shape[0])
    else:
        config = dataclasses.replace(config, name=name)
        data = load(name, data_dir=data_dir or config.data_dir, config=config)
    check_fits(data, input_shape, classes)
    return data


def _evaluate(path, data, predict, batch_size, on_start, on_batch) -> dict:
    from ftbnn_larq.data.pipeline import batches

    on_start(data.test.examples)
    result = accuracy(predict, batches(data.test, data.config, batch_size).as_numpy_iterator(), on_batch)
    return {"path": str(path), "dataset": data.config.name, **result}
