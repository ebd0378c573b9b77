"""Ties of sign where no floats exist: binary convolutions in a row, and packed max pools between them."""

from __future__ import annotations

import ftbnn_larq  # isort: skip (before TensorFlow)
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.conversion import flatbuffer as fb
from ftbnn_larq.conversion import proof
from ftbnn_larq.conversion.convert import convert_model
from ftbnn_larq.conversion.network import Network
from ftbnn_larq.errors import ConversionError
from ftbnn_larq.models.layers import binary_conv

assert ftbnn_larq
layers = tf.keras.layers
PICTURES = np.random.default_rng(0).standard_normal((4, 12, 12, 3)).astype(np.float32)
# A sum of 288 signs that is often reached: the batch norms put zero there, or just beside it.
OFTEN = 2.0


class ByKeyword(layers.Layer):
    """A layer of one's own around a binary convolution, which it calls by the argument's name."""

    def __init__(self, convolution):
        super().__init__()
        self.convolution = convolution

    def call(self, x):
        return self.convolution(inputs=x)


def row(
    *, first: float = 0.0, second: float = 0.0, norms: bool = True, nested: bool = False, by_keyword: bool = False
) -> tf.keras.Model:
    """A float stem, a max pool, a binary convolution, another, a max pool, a third one; all but the last packed.

    Arguments:
        first, second: what the batch norms behind the first two take off beside `OFTEN`.
        by_keyword: whether the second is in a layer that calls it so.
    """
    tf.keras.utils.set_random_seed(1)
    binary = [binary_conv(32, name=name) for name in ("one", "two", "three")]
    if by_keyword:
        binary[1] = ByKeyword(binary[1])
    norm = [layers.BatchNormalization(scale=False, epsilon=0.0, name=f"norm_{place}") for place in ("one", "two")]
    units = [[conv, each] if norms else [conv] for conv, each in zip(binary, norm, strict=False)]
    if nested:
        # The second is a model in the model, and the third is the first once more.
        binary[2], units[1] = binary[0], [tf.keras.Sequential([tf.keras.Input((6, 6, 32)), *units[1]], name="inner")]
    inputs = x = tf.keras.Input((12, 12, 3))
    body = [layers.Conv2D(32, 3, padding="same", name="stem"), layers.MaxPool2D(2), *units[0], *units[1]]
    for layer in [*body, layers.MaxPool2D(2), binary[2], layers.GlobalAveragePooling2D(), layers.Dense(3, name="top")]:
        x = layer(x)
    if norms:
        for each, shift in zip(norm, (first, second), strict=True):
            each.moving_mean.assign(np.full(32, OFTEN + shift))
    return tf.keras.Model(inputs, x)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    path = tmp_path_factory.mktemp("row") / "row.tflite"
    document = convert_model(row(first=-1e-6, second=-1e-6), path, PICTURES)
    # What is tested exists: signs are packed by convolutions and pooled.
    assert document["operators"]["LceBMaxPool2d"] == 2 and document["operators"]["LceQuantize"] == 1
    assert document["sign_ties"] == 0
    return path


@pytest.mark.parametrize("kernel", ["default", "indirect", "reference"])
def test_signs_that_rounding_turns_between_packed_convolutions_are_told_and_pass(converted, kernel):
    for turned in ({"first": 1e-6, "second": -1e-6}, {"first": -1e-6, "second": 1e-6}):
        for by_keyword in (False, True):
            network = Network.of(row(**turned, by_keyword=by_keyword))
            assert proof.compare(network, converted, PICTURES, kernel).sign_ties > 0


def test_a_threshold_that_is_not_rounding_is_refused(converted):
    """A convolution's sums differ by 2: this one stands a hundredth beside a sum."""
    for moved in ({"first": 1e-2, "second": -1e-6}, {"first": -1e-6, "second": 1e-2}):
        with pytest.raises(ConversionError, match="differ"):
            proof.compare(Network.of(row(**moved)), converted, PICTURES)


def damaged(flatbuffer: bytes, what: str) -> bytes:
    """The flatbuffer with another stem, wrong weights, channels in another order, wrong thresholds or pools."""
    graph = fb.Graph(flatbuffer)
    of = {
        kind: [each for each in graph.operators if graph.type(each) == kind]
        for kind in ("CONV_2D", "LceBconv2d", "LceBMaxPool2d")
    }

    def change(operator, place, by):
        operator.inputs[place] = graph.add_constant(by(graph.constant(operator.inputs[place]).copy()))

    def flip(words):
        words[:, 1, 1] ^= 1 << 7
        return words

    kind, _, place = what.partition(" ")
    if kind == "stem":
        change(of["CONV_2D"][0], 1, lambda kernel: np.where(np.abs(kernel) > 0.1, kernel, -kernel))
    elif kind == "weight":
        change(of["LceBconv2d"][int(place)], 1, flip)
    elif kind == "order":
        change(of["LceBconv2d"][int(place)], 1, lambda words: np.roll(words, 1, axis=0))
    elif kind == "threshold":
        change(of["LceBconv2d"][int(place)], 4, lambda thresholds: thresholds + np.int32(3))
    else:
        # A window of one pixel in place of two by two.
        pool = of["LceBMaxPool2d"][int(place)]
        graph.operators[graph.operators.index(pool)] = graph.copy(
            pool, pool.inputs, pool.outputs, filter_height=1, filter_width=1, padding=0
        )
    return graph.pack()


@pytest.mark.parametrize(
    "what",
    [
        *("weight 0", "order 1", "threshold 1", "pool 1"),
        *(
            pytest.param(what, marks=pytest.mark.slow)
            for what in ("stem", "pool 0", "order 0", "threshold 0", "weight 1", "order 2", "weight 2")
        ),
    ],
)
def test_ties_excuse_no_damage(converted, tmp_path, what):
    path = tmp_path / "damaged.tflite"
    path.write_bytes(damaged(converted.read_bytes(), what))
    network = Network.of(row(first=1e-6, second=1e-6))
    assert proof.compare(network, converted, PICTURES).sign_ties > 0
    with pytest.raises(ConversionError, match="differ"):
        proof.compare(network, path, PICTURES)


def test_sums_of_signs_are_exact_so_that_zero_is_no_tie(tmp_path):
    path = tmp_path / "exact.tflite"
    network = row(norms=False)
    convert_model(network, path, PICTURES)
    graph = fb.Graph(path.read_bytes())
    first = next(each for each in graph.operators if graph.type(each) == "LceBconv2d")
    # Signs of sums that are 0 turn, and no others: sums are even.
    first.inputs[4] = graph.add_constant(graph.constant(first.inputs[4]) - np.int32(1))
    path.write_bytes(graph.pack())
    with pytest.raises(ConversionError, match="differ"):
        proof.compare(Network.of(network), path, PICTURES)


@pytest.mark.slow
def test_ties_are_told_in_models_in_the_model_and_in_layers_called_twice(tmp_path):
    path = tmp_path / "nested.tflite"
    convert_model(row(first=-1e-6, second=-1e-6, nested=True), path, PICTURES)
    turned = Network.of(row(first=1e-6, second=1e-6, nested=True))
    assert proof.compare(turned, path, PICTURES).sign_ties > 0
    with pytest.raises(ConversionError, match="differ"):
        proof.compare(Network.of(row(first=1e-6, second=1e-2, nested=True)), path, PICTURES)


def branches(shift: float) -> tf.keras.Model:
    """Two rows side by side, of equal shapes, which LCE runs in another order than Keras, and their sum."""
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((12, 12, 3))
    stem, ends = layers.Conv2D(32, 3, padding="same")(inputs), []
    for _ in range(2):
        x = stem
        for _ in range(2):
            norm = layers.BatchNormalization(scale=False, epsilon=0.0)
            x = norm(binary_conv(32)(x))
            norm.moving_mean.assign(np.full(32, OFTEN + shift))
        ends.append(x)
    x = layers.Concatenate()([binary_conv(32)(end) for end in (*ends, layers.Add()(ends))])
    return tf.keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.slow
def test_ties_are_told_in_branches_too(tmp_path):
    path = tmp_path / "branches.tflite"
    convert_model(branches(-1e-6), path, PICTURES)
    assert proof.compare(Network.of(branches(1e-6)), path, PICTURES).sign_ties > 0
    with pytest.raises(ConversionError, match="differ"):
        proof.compare(Network.of(branches(1e-2)), path, PICTURES)
