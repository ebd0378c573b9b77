"""The first station of a conversion: the network, the pictures to prove it on, and where both came from."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ftbnn_larq.analysis import preprocessing
from ftbnn_larq.analysis.accuracy import accuracy
from ftbnn_larq.conversion.network import Network, prepared
from ftbnn_larq.conversion.plan import Plan
from ftbnn_larq.data import Data, check_fits, pipeline
from ftbnn_larq.data import load as load_data
from ftbnn_larq.errors import DataError, UnknownNameError
from ftbnn_larq.inference.interpreter import Interpreter
from ftbnn_larq.models import ends
from ftbnn_larq.models.answering import answers
from ftbnn_larq.zoo.trained import Trained

# Pictures of the test split that Keras and LCE must agree on.
PROOF_PICTURES = 128
# Top-1 is measured on at most so many pictures: all of CIFAR's test split, a part of a larger one.
TEST_PICTURES = 10_000


@dataclasses.dataclass(frozen=True)
class Source:
    """A loaded network with its pictures.

    Attributes:
        network: up to the outputs that the flatbuffer shall have.
        data: None where there is none, or it cannot be read.
        details: what model.json says of where the network came from.
    """

    network: Network
    data: Data | None
    details: dict

    def pictures(self) -> np.ndarray:
        """Float32 pictures (128, h, w, c) of the test split, or noise where there is no data."""
        if self.data is None:
            shape = (PROOF_PICTURES, *self.network.model.input_shape[1:])
            return np.random.default_rng(0).standard_normal(shape, np.float32)
        return next(pipeline.batches(self.data.test, self.data.config, PROOF_PICTURES).as_numpy_iterator())[0]

    def top1(self, flatbuffer) -> dict | None:
        """`{examples, of, keras, lce}`: accuracy of the model and of its flatbuffer; None without data."""
        if self.data is None:
            return None
        split = pipeline.spread(self.data.test, TEST_PICTURES)
        batches = pipeline.batches(split, self.data.config, 128)
        end = {"are_probabilities": ends.gives_probabilities(self.network.model)}
        keras = accuracy(self.network.answers, batches.as_numpy_iterator(), **end)
        with Interpreter(flatbuffer) as interpreter:
            lce = accuracy(interpreter.predict, batches.as_numpy_iterator(), **end)
        return {
            "examples": keras["examples"],
            "of": self.data.test.examples,
            "keras": keras["top1"],
            "lce": lce["top1"],
        }


def keras_model(plan: Plan) -> tf.keras.Model:
    """The network as it was trained. Raises ModelFileError if it cannot be loaded."""
    return plan.source.load() if isinstance(plan.source, Trained) else plan.source


def load(plan: Plan, on_event: Callable[[str], None] = lambda line: None) -> Source:
    """Load what becomes a flatbuffer, and the data set of its proof.

    Arguments:
        on_event: told what the user should know of the data, a line at a time.

    Raises:
        ModelFileError: the network cannot be loaded, or does not fit the data set.
        ConversionError: it does not take one picture and give one row of scores; see `network.prepared`.
        ConfigError: the preprocessing of a Keras file has to be given; see `analysis.preprocessing`.
    """
    model = prepared(keras_model(plan))
    ended = ends.up_to_probabilities(model) if plan.softmax else ends.up_to_logits(model)
    data, details = _data(plan, ended, on_event)
    return Source(Network.of(ended), data, _origin(plan, model) | details)


def _data(plan: Plan, model: tf.keras.Model, on_event: Callable[[str], None]) -> tuple[Data | None, dict]:
    """The data set, and the entries `data`, `preprocessing` and `no_data` of model.json."""
    own = plan.source.data if isinstance(plan.source, Trained) else None
    if own is not None:
        try:
            data = load_data(own.name, data_dir=plan.data_dir or own.data_dir, config=own, download=False)
        except (DataError, UnknownNameError) as error:
            # It can be converted on a machine that does not hold its pictures.
            return None, {"data": dataclasses.asdict(own), "no_data": str(error)}
        for note in data.notes:
            on_event(note)
        return data, _described(data, preprocessing.chosen(data, "training"))
    if plan.dataset is None:
        return None, {}
    shape = model.input_shape[1:]
    data = load_data(plan.dataset, data_dir=plan.data_dir, input_size=shape[:2], channels=shape[2])
    for note in data.notes:
        on_event(note)
    check_fits(data, shape, model.output_shape[-1])
    if plan.preprocessing:
        data, choice = preprocessing.given(data, plan.preprocessing)
    else:
        end = ends.gives_probabilities(model)
        predict = functools.partial(answers, model)
        data, choice = preprocessing.found(data, predict, are_probabilities=end, model=model)
    on_event(choice.told())
    return data, _described(data, choice)


def _described(data: Data, choice: preprocessing.Choice) -> dict:
    return {"data": dataclasses.asdict(data.config), "preprocessing": dataclasses.asdict(choice)}


def _origin(plan: Plan, model: tf.keras.Model) -> dict:
    source = plan.source
    if not isinstance(source, Trained):
        return {"model": {"name": model.name}}
    if source.published:
        return {"model": {"name": source.published[0], "weights": source.published[1]}}
    if source.run:
        return {"model": dataclasses.asdict(source.run.config.model), "run": str(source.run.path)}
    return {"model": {"name": model.name, "file": source.reference}}
