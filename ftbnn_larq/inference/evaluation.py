"""Accuracy on a test split, of a run in Keras or of a flatbuffer in LCE: the same pictures, the same count."""

from __future__ import annotations

import os
from collections.abc import Callable

from ftbnn_larq import zoo
from ftbnn_larq.analysis.accuracy import accuracy
from ftbnn_larq.zoo import trained


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
    from ftbnn_larq.inference.interpreter import Interpreter
    from ftbnn_larq.inference.sidecar import data_config_beside

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
    model = trained.load_run(run)
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
