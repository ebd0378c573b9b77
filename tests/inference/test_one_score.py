"""One score for two classes, on pictures of another size and of other channels: convert, evaluate, predict, verify."""

from __future__ import annotations

import json
import shutil

import ftbnn_larq  # isort: skip (before TensorFlow)
import pytest
import tensorflow as tf

from ftbnn_larq import data
from ftbnn_larq.analysis.preprocessing import given
from ftbnn_larq.conversion.convert import convert
from ftbnn_larq.errors import BoardError
from ftbnn_larq.inference.agreement import agreement
from ftbnn_larq.inference.agreement import test_pictures as first_pictures
from ftbnn_larq.inference.evaluation import evaluate
from ftbnn_larq.inference.interpreter import Interpreter
from ftbnn_larq.inference.prediction import predict
from tests.conftest import two_tones, which_tone

assert ftbnn_larq
# Height and width, of grey pictures. The folder's are 8x8, in color.
SHAPE = (12, 10, 1)


def test_one_sigmoid_is_the_second_classs_probability(tmp_path):
    dataset = two_tones(tmp_path)
    unit, _ = given(data.load(dataset, input_size=SHAPE[:2], channels=1), "unit")
    model = which_tone(SHAPE, 1, unit.config, "sigmoid")
    told = []
    document = convert(model, output=tmp_path / "model.tflite", dataset=dataset, on_event=told.append)
    assert document["output"] == "probabilities"
    assert document["top1"] == {"examples": 32, "of": 32, "keras": 1.0, "lce": 1.0}
    *notes, last = told
    assert last.startswith("preprocessing: unit") and any("are turned grey" in note for note in notes)
    stored = json.loads((tmp_path / "model.json").read_text())
    assert stored["preprocessing"]["name"] == "unit" and stored["preprocessing"]["top1"]["unit"] == 1
    assert stored["data"]["std"] == [1.0] and stored["data"]["input_shape"] == list(SHAPE)

    answers = predict(tmp_path / "model.tflite", [tmp_path / label / "03.png" for label in ("bright", "dark")])
    assert [[label for label, _ in answer["top"]] for answer in answers] == [["bright", "dark"], ["dark", "bright"]]
    assert all(sum(chance for _, chance in answer["top"]) == pytest.approx(1) for answer in answers)

    assert evaluate(tmp_path / "model.tflite")["top1"] == 1
    wrong = evaluate(tmp_path / "model.tflite", preprocessing="raw")
    assert wrong["top1"] == 0.5 and wrong["preprocessing"]["chosen_by"] == "user"
    # Without its JSON, and for Keras files with and without the sigmoid, the preprocessing is found.
    shutil.copy(tmp_path / "model.tflite", tmp_path / "alone.tflite")
    model.save(tmp_path / "model.keras")
    which_tone(SHAPE, 1, unit.config).save(tmp_path / "logit.keras")
    for name in ("alone.tflite", "model.keras", "logit.keras"):
        result = evaluate(tmp_path / name, dataset=dataset)
        assert (result["top1"], result["preprocessing"]["name"]) == (1, "unit"), name

    # A board whose scores are on the other side sees other classes.
    pictures = first_pictures(tmp_path / "model.tflite", 4)
    with Interpreter(tmp_path / "model.tflite") as interpreter:
        scores = interpreter.predict(pictures)
    flatbuffer = tmp_path / "model.tflite"
    assert agreement(flatbuffer, scores, scores, "")["top1_agreement"] == 1
    with pytest.raises(BoardError, match="another class than this machine on 4 of 4"):
        agreement(flatbuffer, scores, 1 - scores, "")


@pytest.mark.parametrize("outputs", [1, 2])
def test_probabilities_whose_row_is_reshaped_stay_probabilities(tmp_path, outputs):
    """As a network ends that has convolutions only: its last operator is a RESHAPE."""
    dataset = two_tones(tmp_path)
    unit, _ = given(data.load(dataset, input_size=SHAPE[:2], channels=1), "unit")
    plain = which_tone(SHAPE, outputs, unit.config)
    layers = tf.keras.layers
    inputs = tf.keras.Input(SHAPE)
    x = layers.Conv2D(3, 1, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(inputs))
    x = layers.Conv2D(outputs, 1, activation="sigmoid" if outputs == 1 else None)(x)
    model = tf.keras.Model(inputs, layers.Flatten()(x if outputs == 1 else layers.Softmax()(x)))
    weights = plain.get_weights()
    model.set_weights([weight.reshape(mine.shape) for weight, mine in zip(weights, model.get_weights(), strict=True)])
    how = {"dataset": dataset, "preprocessing": "unit"}
    document = convert(model, output=tmp_path / "model.tflite", softmax=True, **how)
    assert document["output"] == "probabilities"
    (answer,) = predict(tmp_path / "model.tflite", [tmp_path / "bright" / "03.png"])
    assert answer["top"][0][0] == "bright" and answer["top"][0][1] > 0.9
    shutil.copy(tmp_path / "model.tflite", tmp_path / "alone.tflite")
    for name in ("model.tflite", "alone.tflite"):
        assert evaluate(tmp_path / name, **how)["top1"] == 1, name
