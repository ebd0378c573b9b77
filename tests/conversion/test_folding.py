"""Scales, shifts and slopes go into the operators beside them."""

from __future__ import annotations

import ftbnn_larq  # isort: skip (before TensorFlow)
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.conversion import census
from ftbnn_larq.conversion.convert import convert_model
from ftbnn_larq.conversion.converter import to_flatbuffer
from ftbnn_larq.models import nonlinearities
from ftbnn_larq.models.config import NONLINEARITIES
from ftbnn_larq.models.layers import binary_conv
from tests.conversion.helpers import as_trained, counts, rewritten, same_answers, units

keras_layers = tf.keras.layers


def slopes(model: tf.keras.Model, index: int, positive, negative) -> None:
    model.get_layer(f"act{index}").set_weights([np.resize(np.float32(each), 32) for each in (positive, negative)])


# Pairs of slopes (p, n) that PRELU behind a scaled convolution can take, and those that never rise above zero.
RISING = [(1, 0), (1, 0.2), (1, -0.7), (1, 1), (-1, -0.3), (0, -1), (-2, -1), (1e-9, -1), (0, 0), (3, 0.5), (1, 1e-30)]


FALLING = [(-1, 0), (-1, 0.5), (0, 0.5), (-1e-3, 2)]


def test_two_slopes_become_one_prelu_for_every_sign_and_a_sign_where_nothing_rises(tmp_path):
    model = units(*(nonlinearities.FPReLU(name=f"act{index}") for index in range(3)))
    for index, pairs in enumerate([RISING, RISING + FALLING, FALLING]):
        slopes(model, index, *zip(*pairs, strict=True))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "names", "fold")
    same_answers(before, after, tmp_path)
    rows = [(row.output, row.type) for row in census.operators(after)]
    assert [kind for name, kind in rows if name.startswith(("act0", "norm0"))] == ["LceBconv2d", "PRELU"]
    for index in (1, 2):
        mine = [kind for name, kind in rows if name.startswith((f"act{index}", f"norm{index}"))]
        assert mine == ["LceBconv2d", "PRELU", "MUL"]
    document = convert_model(model, tmp_path / "told.tflite", np.zeros((1, 8, 8, 32), np.float32))
    assert document["unfolded"] == {"MUL": ["act1", "act2"]}


@pytest.mark.slow
@pytest.mark.parametrize("sharing", ["channel", "layer"])
@pytest.mark.parametrize(("placement", "more"), [("after_bn", 0), ("before_bn", 0), ("after_add", 1)])
def test_every_non_linearity_leaves_as_few_operators_as_it_needs(tmp_path, placement, more, sharing):
    """`more`: behind a sum there is no scale to fold into, and two slopes leave one MUL."""
    names = [name for name in NONLINEARITIES if name not in ("identity", "relu", "rprelu")]
    acts = [
        nonlinearities.create(name, slopes=(1.0, 0.5), sharing=sharing, layer_name=f"act{index}")
        for index, name in enumerate(names)
    ]
    before = to_flatbuffer(units(*acts, placement=placement))[0]
    after = rewritten(before, "fold")
    same_answers(before, after, tmp_path)
    found = counts(after)
    offsets = found.get("ADD", 0) - len(names)
    assert found.get("RELU", 0) == 0
    # A batch norm behind the bend leaves the value at the bend to be added.
    assert offsets == (len(names) if placement == "before_bn" else 0)
    signs = 3 if placement == "before_bn" else 1
    assert found.get("MUL", 0) <= (more or signs)


@pytest.mark.parametrize("name", ["fprelu", "rprelu"])
def test_what_stands_behind_flat_features_folds_too(tmp_path, name):
    inputs = tf.keras.Input((8, 8, 32))
    x = keras_layers.GlobalAveragePooling2D()(binary_conv(32)(inputs))
    x = nonlinearities.create(name, layer_name="last")(keras_layers.BatchNormalization()(x))
    model = as_trained(tf.keras.Model(inputs, keras_layers.Dense(5, name="logits")(x)))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "fold")
    same_answers(before, after, tmp_path)
    assert counts(after)["PRELU"] == 1 and len(census.operators(after)) < len(census.operators(before))


def test_a_batch_norm_behind_a_sum_becomes_no_prelu(tmp_path):
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((8, 8, 32))
    x = keras_layers.Add()([inputs, binary_conv(32)(inputs)])
    x = keras_layers.AveragePooling2D(8)(keras_layers.BatchNormalization()(x))
    x = keras_layers.Dense(5, name="logits")(keras_layers.Flatten()(x))
    model = as_trained(tf.keras.Model(inputs, x))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "fold")
    same_answers(before, after, tmp_path)
    assert "PRELU" not in counts(after) and len(census.operators(after)) <= len(census.operators(before))


def elementwise(flatbuffer: bytes, without: int = 0) -> dict[str, int]:
    """How many of each operator that scales, shifts or bends; `without` so many sums."""
    found = counts(flatbuffer)
    kinds = ("PRELU", "ADD", "MUL", "SUB", "RELU", "NEG")
    return {kind: found.get(kind, 0) - without * (kind == "ADD") for kind in kinds if kind in found}


@pytest.mark.parametrize(
    ("placement", "left"), [("after_bn", {"PRELU": 3, "ADD": 2}), ("after_add", {"PRELU": 3, "ADD": 2})]
)
def test_shifts_fold_into_biases_where_the_graph_allows(tmp_path, placement, left):
    """One in front goes into the convolution, the last one into the classifier.

    Others behind stay an ADD: the stream they go into has its zero where the next sign's is.
    """
    body = units(*(nonlinearities.RPReLU(name=f"act{index}") for index in range(3)), placement=placement)
    head = keras_layers.Dense(5, name="logits")(body.output)
    model = as_trained(tf.keras.Model(body.input, head))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "fold")
    same_answers(before, after, tmp_path)
    assert elementwise(after, without=3) == left


@pytest.mark.slow
@pytest.mark.parametrize("shortcut", ["pool", "float", "binary", "depthwise"])
def test_a_shift_into_a_new_stage_folds_into_its_shortcut(tmp_path, shortcut):
    options = {"nonlinearity": "rprelu", "shortcut": shortcut, "units": (1, 1), "width": 16}
    network = ftbnn_larq.create_model("ftbnn_r18_pure", input_shape=(32, 32, 3), num_classes=9, **options)
    model = as_trained(tf.keras.Model(network.input, network.layers[-1].input))
    before = to_flatbuffer(model)[0]
    after = rewritten(before, "fold", "shortcuts")
    same_answers(before, after, tmp_path, (32, 32, 3))
    assert elementwise(after, without=2) == {"PRELU": 2, "ADD": 1}


def test_a_maximum_whose_constant_could_move_stays_right(tmp_path):
    """One operator becomes one: what was moved may not be forgotten."""
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((8, 8, 32))
    x = binary_conv(32)(inputs)
    x = tf.maximum(x, 3.0)
    x = keras_layers.Add()([x, keras_layers.BatchNormalization()(inputs)])
    model = as_trained(tf.keras.Model(inputs, keras_layers.Flatten()(keras_layers.AveragePooling2D(8)(x))))
    before = to_flatbuffer(model)[0]
    same_answers(before, rewritten(before, "fold"), tmp_path)
