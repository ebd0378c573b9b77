"""Accuracy on a test split: of a run or a Keras file in Keras, of a flatbuffer in an interpreter."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ftbnn_larq import data, zoo
from ftbnn_larq.analysis.accuracy import accuracy
from ftbnn_larq.data.preprocessing import parse
from ftbnn_larq.errors import ConfigError, ModelFileError
from ftbnn_larq.inference.interpreter import Interpreter, check_engine
from ftbnn_larq.inference.sidecar import data_config_beside, gives_probabilities
from ftbnn_larq.zoo import trained


def evaluate(
    path: str | os.PathLike,
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
    preprocessing: str | None = None,
    engine: str | None = None,
    runner: Callable | None = None,
    batch_size: int = 256,
    on_start: Callable[[int], None] = lambda examples: None,
    on_batch: Callable[[int], None] = lambda count: None,
    on_event: Callable[[str], None] = lambda line: None,
) -> dict:
    """Top-1 and top-5 accuracy of a network on a test split.

    Arguments:
        path: a run folder, a Keras file or larq_zoo:NAME:imagenet (evaluated in Keras), a flatbuffer, or NAME:DATASET
            for a published one.
        dataset: a data set with the same classes, in any order; None for the one the network was trained on. A Keras
            file needs it, and its scores are those of the data set's classes in their order.
        data_dir: the folder of TFDS's data sets; None for the one the network was trained with.
        preprocessing: "raw", "unit", "symmetric", "standard", "standard:MEAN/STD" or "larq_zoo". Unless given it is
            that of the training; where that is not known it is found by trying, see `analysis.preprocessing`.
        engine: what runs a flatbuffer: "ftbnn" (unless given) is ftbnn-runtime in TFLite's interpreter, "lce" LCE's
            interpreter.
        runner: what opens a flatbuffer in place of an engine, such as `deployment.on_board` with its arguments: from
            a path to a context manager of what has the attributes of an `Interpreter`.
        batch_size: pictures per batch.
        on_start: called with the number of pictures before the first batch.
        on_batch: called with the number of pictures after each batch.
        on_event: told what the user should know, a line at a time.

    Returns:
        `{path, engine, dataset, preprocessing, examples, top1, top5, per_class, confusion}`; `engine` is "keras",
        "ftbnn" or "lce", `examples` is the number of pictures, `top1` and `top5` are fractions. `preprocessing` is
        `{name, mean, std, chosen_by, pictures, top1}`, or None for that of the training. `per_class` is `[{label,
        examples, top1}]`, in the order of the network's outputs; top-1 of a class without pictures is None.
        `confusion` is `[{label, predicted, examples}]`, what of the confusion matrix is off its diagonal and not 0, the
        most frequent first, at most 10,000.

    Raises:
        RunError: `path` is not a run folder, or the run has no weights.
        ModelFileError: a file is missing or damaged, or the network does not fit the data set.
        DataError: the data set is missing or damaged, or has other classes.
        UnknownNameError: there is no data set `dataset`, no such preprocessing, or no such engine.
        ConfigError: nothing is published for DATASET; a Keras file without a data set; a preprocessing that has to be
            given, because several do equally well; an engine for what Keras runs.
        ToolError: ftbnn-runtime has no library for this machine.
    """
    path = check(path, dataset=dataset, data_dir=data_dir, preprocessing=preprocessing, engine=engine)
    with _opened(path, needed=dataset is None, engine=engine or "ftbnn", runner=runner) as network:
        pictures, choice = _data(network, dataset, data_dir, preprocessing, on_event)
        from ftbnn_larq.analysis.answers import Tally
        from ftbnn_larq.data.pipeline import batches

        on_start(pictures.test.examples)
        tally = Tally(pictures.config)
        result = accuracy(
            network.predict,
            batches(pictures.test, pictures.config, batch_size).as_numpy_iterator(),
            on_batch,
            are_probabilities=network.gives_probabilities,
            tally=tally,
        )
        chosen = dataclasses.asdict(choice) if choice else None
        told = {"path": str(path), "engine": network.engine, "dataset": pictures.config.name}
        answers = dataclasses.asdict(tally.told())
        seen = {"per_class": answers["per_class"], "confusion": answers["confusion"]}
        return {**told, "preprocessing": chosen, **result, **seen}


def check(
    path, *, dataset: str | None, data_dir: str | None, preprocessing: str | None, engine: str | None = None
) -> Path:
    """Refuse what `evaluate` refuses before TensorFlow is loaded; gives the path of the network."""
    path = zoo.published_flatbuffer(path)
    if engine:
        check_engine(engine, path if trained.in_keras(path) else None)
    if not trained.in_keras(path) and (path.is_file() or path.suffix == ".tflite"):
        data_config_beside(path, needed=dataset is None)
    elif not trained.find(path).data and dataset is None:
        raise ConfigError(f"{path}: a Keras file does not say what it was trained on: give a data set (--dataset)")
    if dataset:
        data.check_name(dataset, data_dir)
    if preprocessing:
        parse(preprocessing)
    return path


@dataclasses.dataclass(frozen=True)
class _Network:
    """A network that can be asked.

    Attributes:
        predict: float32 pictures (n, h, w, c) to scores (n, `outputs`).
        input_shape: (h, w, c).
        engine: what computes them: "keras", "ftbnn" or "lce".
        config: preprocessing and labels of its training; None where they are not known.
        model: the Keras model; None for a flatbuffer.
    """

    predict: Callable
    input_shape: tuple[int, ...]
    outputs: int
    gives_probabilities: bool
    engine: str
    config: data.DataConfig | None
    model: Any = None


@contextlib.contextmanager
def _opened(path: Path, needed: bool, engine: str, runner: Callable | None) -> Iterator[_Network]:
    if not trained.in_keras(path):
        config = data_config_beside(path, needed=needed)
        with runner(path) if runner else Interpreter(path, engine=engine) as interpreter:
            shapes = tuple(interpreter.input_shape[1:]), interpreter.output_shape[-1]
            yield _Network(interpreter.predict, *shapes, gives_probabilities(path), engine, config)
            return
    source = trained.find(path)
    model = source.load()
    given, asked = model.input_shape, model.output_shape
    fits = isinstance(given, tuple) and len(given) == 4 and None not in given[1:]
    # Of several outputs it is a list or a dict.
    if not (fits and isinstance(asked, tuple) and len(asked) == 2):
        raise ModelFileError(
            f"{path} makes {asked} of {given}: only a network of one picture of a fixed size, such as "
            "(None, 224, 224, 3), that gives one row of scores, such as (None, 10), can be evaluated"
        )
    from ftbnn_larq.models import answering, ends

    end = ends.gives_probabilities(model)
    yield _Network(functools.partial(answering.answers, model), given[1:], asked[-1], end, "keras", source.data, model)


def _data(network: _Network, dataset, data_dir, preprocessing, on_event):
    """The pictures as the network wants them, and the choice of preprocessing (None for that of the training)."""
    from ftbnn_larq.analysis import preprocessing as choosing

    config, (height, width, channels) = network.config, network.input_shape
    name = data.full_name(dataset or config.name)
    where = {"data_dir": data_dir or (config.data_dir if config else None), "channels": channels}
    known = {"config": config} if config else {"input_size": (height, width)}
    loaded = data.load(name, **known, **where)
    for note in loaded.notes:
        on_event(note)
    data.check_fits(loaded, network.input_shape, network.outputs)
    if preprocessing:
        loaded, choice = choosing.given(loaded, preprocessing)
    elif config:
        return loaded, None
    else:
        loaded, choice = choosing.found(
            loaded, network.predict, are_probabilities=network.gives_probabilities, model=network.model
        )
    on_event(choice.told())
    return loaded, choice
