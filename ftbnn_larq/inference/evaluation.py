"""Accuracy on a test split, of a run in Keras or of a flatbuffer in LCE."""

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
    """Top-1 and top-5 accuracy of a run or a flatbuffer on a test split.

    Arguments:
        path: a run folder (evaluated in Keras), a flatbuffer (in LCE's interpreter), or NAME:DATASET for a published
            flatbuffer.
        dataset: a data set with the same classes, in any order; None for the one the network was trained on.
        data_dir: the folder of TFDS's data sets; None for the one the network was trained with.
        batch_size: pictures per batch.
        on_start: called with the number of pictures before the first batch.
        on_batch: called with the number of pictures after each batch.

    Returns:
        `{path, dataset, examples, top1, top5}`; `examples` is the number of pictures, `top1` and `top5` are fractions.

    Raises:
        RunError: `path` is not a run folder, or the run has no weights.
        ModelFileError: a file is missing or damaged, or the network does not fit the data set.
        DataError: the data set is missing or damaged, or has other classes.
        UnknownNameError: there is no data set `dataset`.
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
    """The data set to evaluate on, with the preprocessing of the training if that is known."""
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
