"""Model objects that are subclasses of tf.keras.Model: inside a network they convert, as its end they are refused."""

from __future__ import annotations

import ftbnn_larq  # isort: skip (before TensorFlow)
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.conversion.convert import convert
from ftbnn_larq.errors import ConversionError
from ftbnn_larq.models.layers import binary_conv

assert ftbnn_larq
keras_layers = tf.keras.layers


class Subclassed(tf.keras.Model):
    """A binary layer between float ones; `top` gives scores."""

    def __init__(self, top: bool, **keywords):
        super().__init__(**keywords)
        self.stem = keras_layers.Conv2D(32, 3, name="stem")
        self.binary, self.norm = binary_conv(32, name="binary"), keras_layers.BatchNormalization(name="norm")
        self.top = [keras_layers.GlobalAveragePooling2D(), keras_layers.Dense(10, "softmax")] if top else []

    def call(self, x):
        x = self.norm(self.binary(self.stem(x)))
        for layer in self.top:
            x = layer(x)
        return x


def test_a_subclassed_model_inside_a_network_converts_and_its_layers_are_told(tmp_path):
    inputs = tf.keras.Input((8, 8, 3))
    x = keras_layers.GlobalAveragePooling2D()(Subclassed(top=False, name="body")(inputs))
    model = tf.keras.Model(inputs, keras_layers.Dense(10)(x))
    document = convert(model, output=tmp_path / "model.tflite")
    assert document["binary_operators"] == 1
    assert {"body/stem", "body/binary", "body/norm"} < {row["layer"] for row in document["layers"]}


@pytest.mark.parametrize("called_on", ["input", "pictures", "input of a network"])
def test_one_that_makes_the_scores_is_refused_and_its_layers_convert_as_the_refusal_says(tmp_path, called_on):
    net = Subclassed(top=True, name="net")
    inputs = tf.keras.Input((8, 8, 3))
    scores = net(np.ones((1, 8, 8, 3), np.float32) if called_on == "pictures" else inputs)
    model = tf.keras.Model(inputs, scores) if called_on == "input of a network" else net
    with pytest.raises(ConversionError, match=r"the subclassed model net .* convert tf\.keras\.Model\(x, net\.call\(x"):
        convert(model, output=tmp_path / "model.tflite")
    if called_on == "pictures":
        document = convert(tf.keras.Model(inputs, net.call(inputs)), output=tmp_path / "model.tflite")
        assert document["output"] == "logits" and document["binary_operators"] == 1
