"""What a training begins with and learns from: start weights, a new head, frozen layers, a teacher."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

import ftbnn_larq
from ftbnn_larq import data, runs, zoo
from ftbnn_larq.data import pipeline
from ftbnn_larq.errors import ConfigError, RunError, UnknownNameError
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.training import loop, sources
from ftbnn_larq.zoo.trained import load_run
from tests.test_bad_input import picture_folder
from tests.training.helpers import OPTIONS, weights


@pytest.mark.slow
def test_frozen_layers_stay_as_they_were_initialised(fit, finished):
    _, run, _ = fit(init_from=str(finished.path), freeze="stem*, stage1*", seed=5)
    before, after = load_run(finished), load_run(run)
    for layer in before.layers:
        frozen = layer.name.startswith(("stem", "stage1"))
        for one, other in zip(layer.get_weights(), after.get_layer(layer.name).get_weights(), strict=True):
            assert (one == other).all() == frozen or not layer.trainable_weights, layer.name
    with pytest.raises(UnknownNameError, match="layer to freeze"):
        fit(freeze="steem*")


@pytest.mark.slow
def test_a_run_can_be_fine_tuned_to_other_classes(finished, tmp_path):
    pets = data.load(picture_folder(tmp_path / "pets", cat=20, dog=20), input_size=8)
    birds = data.load(picture_folder(tmp_path / "birds", owl=20, hen=20, swan=20), input_size=8)
    how = Recipe(epochs=1, batch_size=8)
    source = load_run(runs.open_run(loop.start("ftbnn_r18", pets, how, options=OPTIONS, output=tmp_path)["run"]))
    first = runs.open_run(next(tmp_path.glob("ftbnn_r18-pets-*")))
    how = how.replace(init_from=str(first.path), learning_rate=1e-12)
    tuned = load_run(runs.open_run(loop.start("ftbnn_r18", birds, how, options=OPTIONS, output=tmp_path)["run"]))
    assert tuned.output_shape == (None, 3)
    for layer in source.layers:
        if layer.name != "logits":
            for one, other in zip(layer.trainable_weights, tuned.get_layer(layer.name).trainable_weights, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-6, err_msg=layer.name)
    # Grey pictures are given the channels of the network that it starts from.
    keys = {"dataset": "digits", "options": OPTIONS, "init_from": how.init_from, "epochs": 1, "output": tmp_path}
    on_digits = ftbnn_larq.train("ftbnn_r18", **keys)
    assert runs.open_run(on_digits["run"]).config.data.input_shape == (8, 8, 3)
    # Digits are grey, these are not.
    with pytest.raises(ConfigError, match=r"stem_conv is \[\(3, 3, 3, 8\)\] here"):
        loop.start("ftbnn_r18", pets, how.replace(init_from=str(finished.path)), options=OPTIONS, output=tmp_path)


@pytest.mark.slow
def test_a_new_head_for_other_classes(finished, tmp_path):
    network = zoo.create_model("ftbnn_r18", input_shape=(8, 8, 1), num_classes=7, **OPTIONS)
    assert sources.initialise(network, str(finished.path)) == ["logits"]
    theirs = load_run(finished)
    np.testing.assert_array_equal(network.get_layer("stem_conv").kernel, theirs.get_layer("stem_conv").kernel)
    # Other classes, though as many, and the same in another order.
    network = zoo.create_model("ftbnn_r18", input_shape=(8, 8, 1), num_classes=10, **OPTIONS)
    assert sources.initialise(network, str(finished.path), tuple("abcdefghij")) == ["logits"]
    assert not np.array_equal(network.get_layer("logits").kernel, theirs.get_layer("logits").kernel)
    assert sources.initialise(network, str(finished.path), tuple("9876543210")) == []
    np.testing.assert_array_equal(network.get_layer("logits").kernel, theirs.get_layer("logits").kernel[:, ::-1])
    # A head may be more than one layer: AlexNet's is a convolution and a batch norm.
    layers = tf.keras.layers

    def with_head(classes):
        body = [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.GlobalAveragePooling2D(keepdims=True)]
        head = [layers.Conv2D(classes, 1), layers.BatchNormalization(name="last")]
        return tf.keras.Sequential([tf.keras.Input((8, 8, 1)), *body, *head])

    with_head(10).save(tmp_path / "ten.keras")
    assert len(sources.initialise(with_head(7), str(tmp_path / "ten.keras"))) == 2
    with pytest.raises(ConfigError, match="same width"):
        wide = zoo.create_model("ftbnn_r18", input_shape=(8, 8, 1), num_classes=7, **{**OPTIONS, "width": 32})
        sources.initialise(wide, str(finished.path))


def test_a_whole_path_that_a_recipe_cannot_hold_is_refused_before_anything_is_written(fit, tmp_path, monkeypatch):
    place = tmp_path / os.fsdecode(b"caf\xe9")
    place.mkdir()
    (place / "teacher.keras").touch()
    monkeypatch.chdir(place)
    with pytest.raises(ConfigError, match="is not UTF-8"):
        fit(teacher="teacher.keras", output=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_frozen_head_that_should_learn_alone_is_refused_before_anything_is_written(fit, tmp_path):
    with pytest.raises(ConfigError, match="the head is frozen"):
        fit(freeze="logits", epochs=2, head_epochs=1, output=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("distillation", ["hinton", "distributional"])
def test_a_student_comes_nearer_to_its_teacher(fit, finished, distillation):
    keys = {"teacher": str(finished.path), "distillation": distillation, "distillation_weight": 1.0, "epochs": 3}
    _, run, history = fit(seed=3, **keys)
    parts = [float(row["distillation"]) for row in history]
    assert parts[-1] < parts[0]
    assert "val_distillation" not in history[0], "the teacher is not asked in validation"
    assert len(weights(run)) == len(weights(finished)), "the teacher's weights are not the student's"


@pytest.mark.slow
def test_a_teacher_sees_pictures_as_it_learned_to(digits, finished):
    """Whatever the data's mean and deviation are now: a folder may have got pictures since."""
    other = dataclasses.replace(digits.config, mean=(0.2,), std=(0.7,))
    changed = dataclasses.replace(digits, config=other)
    own, seeing = (sources.teacher(str(finished.path), loaded) for loaded in (digits, changed))
    pictures = next(digits.test.rows.batch(8).as_numpy_iterator())[0]
    answers = [
        teacher.predict_on_batch(pipeline.normalise(pictures, config))
        for teacher, config in ((own, digits.config), (seeing, other))
    ]
    np.testing.assert_allclose(*answers, atol=1e-3)


def test_a_teacher_with_other_classes_is_refused(fit, digits, tmp_path):
    other = zoo.create_model("bireal_r18", input_shape=(8, 8, 1), num_classes=4, units=(1,), width=16)
    other.save(tmp_path / "other.keras")
    with pytest.raises(ConfigError, match=r"teacher .*other\.keras has 4 classes, the data set has 10"):
        fit(teacher=str(tmp_path / "other.keras"))
    with pytest.raises(RunError, match="no such run folder"):
        fit(teacher="nobody")
