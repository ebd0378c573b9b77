"""A Keras model as LCE's converter wants it, and what the stations of a conversion ask of it, each asked once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from ftbnn_larq.analysis import calls
from ftbnn_larq.errors import ConversionError, one_line
from ftbnn_larq.models import answering, ends
from ftbnn_larq.models.layers import is_binary
from ftbnn_larq.models.weights import check_finite


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer of a network.

    Attributes:
        path: its name; those of models inside the model are "inner/layer".
        keras: the layer itself.
        binary: whether it multiplies signs of its inputs with signs of its weights.
    """

    path: str
    keras: tf.keras.layers.Layer
    binary: bool


@dataclasses.dataclass(frozen=True)
class Network:
    """What is converted.

    Attributes:
        model: one picture in, one row of scores out, in float32.
        layers: in the model's order.
        binary: the binary layers that a picture goes through, in order; twice what is called twice.
        binary_sizes: how many values of one picture each of them reads.
    """

    model: tf.keras.Model
    layers: tuple[Layer, ...]
    binary: tuple[tf.keras.layers.Layer, ...]
    binary_sizes: list[int]

    @classmethod
    def of(cls, model: tf.keras.Model) -> Network:
        """What the stations ask of a `prepared` model."""
        called = [call for call in calls.trace(model) if is_binary(call.layer)]
        binary, sizes = tuple(call.layer for call in called), [math.prod(call.input_shape) for call in called]
        known = set(map(id, binary))
        layers = tuple(Layer(path, layer, id(layer) in known) for path, layer in _inside(model))
        return cls(model, layers, binary, sizes)

    @property
    def name(self) -> str:
        return self.model.name

    def convolutions(self, split: bool) -> int:
        """How many LceBconv2d its flatbuffer needs: one a binary layer, or one a group where groups are `split`."""
        return sum(getattr(layer, "groups", 1) if split else 1 for layer in self.binary)

    @property
    def grouped(self) -> bool:
        """Whether a binary layer has groups."""
        return any(getattr(layer, "groups", 1) > 1 for layer in self.binary)

    def answers(self, pictures: np.ndarray) -> np.ndarray:
        """Keras's scores (n, classes) for float32 pictures (n, h, w, c)."""
        return answering.answers(self.model, pictures)


def _inside(model: tf.keras.Model, prefix: str = "") -> Iterator[tuple[str, tf.keras.layers.Layer]]:
    for layer in model.layers:
        if isinstance(layer, tf.keras.Model):
            yield from _inside(layer, f"{prefix}{layer.name}/")
        else:
            yield f"{prefix}{layer.name}", layer


def prepared(model: tf.keras.Model) -> tf.keras.Model:
    """The model itself; or, if layers of it compute in another precision, the same network in float32.

    Raises:
        ConversionError: it does not take one picture of a fixed size and give one row of scores, or its weights hold
            NaN or infinity; or its end cannot be seen.
    """
    last = ends.last_layer(model)
    if isinstance(last, tf.keras.Model):
        raise ConversionError(
            f"{model.name}: the subclassed model {last.name} makes its scores, and whether it ends in a softmax cannot "
            f"be seen; convert tf.keras.Model(x, {last.name}.call(x)), where x is the tf.keras.Input of its pictures"
        )
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        raise ConversionError(
            f"{model.name} takes inputs of {shape}: a flatbuffer needs one picture of a fixed size, such as "
            "input_shape=(224, 224, 3)"
        )
    scores = getattr(model, "output_shape", None)
    if not isinstance(scores, tuple) or len(scores) != 2:
        raise ConversionError(
            f"{model.name} has outputs of {scores}: a flatbuffer gives one row of scores, such as (None, 10); "
            "convert a part of it, tf.keras.Model(model.input, the_scores)"
        )
    check_finite(model, ConversionError)
    for layer in model.submodules:
        if _divides_by_zero(layer):
            raise ConversionError(f"{layer.name} divides by zero: a variance of 0 and epsilon {layer.epsilon:g}")
    return model if all(map(_is_float32, model.submodules)) else _in_float32(model)


def _divides_by_zero(layer) -> bool:
    is_norm = isinstance(layer, tf.keras.layers.BatchNormalization)
    return is_norm and not (layer.moving_variance.numpy() + layer.epsilon > 0).all()


def _is_float32(layer) -> bool:
    return (
        not isinstance(layer, tf.keras.layers.Layer)
        or layer.compute_dtype in (None, "float32")
        or (
            # Counters and indices.
            not tf.as_dtype(layer.compute_dtype).is_floating
        )
    )


def _in_float32(model: tf.keras.Model) -> tf.keras.Model:
    try:
        rebuilt = type(model).from_config(_without_policies(model.get_config()))
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ConversionError(
            f"{model.name} computes in mixed precision and cannot be rebuilt in float32 ({one_line(error, 200)}): "
            "build it again without the policy and load its weights"
        ) from error
    rebuilt.set_weights([np.asarray(weight, np.float32) for weight in model.get_weights()])
    return rebuilt


def _without_policies(config, key: str = ""):
    """A model's description with every precision of a layer set to float32."""
    if key == "dtype" and (isinstance(config, dict) or "float" in str(config)):
        return "float32"
    if isinstance(config, dict):
        return {name: _without_policies(value, name) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_without_policies(value) for value in config)
    return config
