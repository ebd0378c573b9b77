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
from ftbnn_larq.training.student import Student
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
    with pytest.raises(ConfigError, match="same model, width"):
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


def scoring(*parts, inputs=None) -> tf.keras.Model:
    inputs = x = tf.keras.Input((8, 8, 1)) if inputs is None else inputs
    for part in parts:
        x = part(x)
    return tf.keras.Model(inputs, x)


def test_a_teacher_that_is_an_ensemble_teaches_its_probabilities(digits, tmp_path):
    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 8, 1))
    members = [scoring(layers.Flatten(), layers.Dense(10, "softmax"))(inputs) for _ in range(2)]
    ensemble = tf.keras.Model(inputs, layers.Average()(members))
    ensemble.save(tmp_path / "ensemble.keras")
    teacher = sources.teacher(str(tmp_path / "ensemble.keras"), digits)
    pictures = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(tf.nn.softmax(teacher(pictures)), ensemble(pictures), atol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        ([(8, 8)], r"takes \(None, 8, 8\): a network of one picture with 1 or 3 channels is needed"),
        ([(64,)], r"takes \(None, 64\): a network of one picture"),
        ([(8, 8, 1), (8, 8, 1)], r"takes \(None, 8, 8, 1\), \(None, 8, 8, 1\): a network of one picture"),
    ],
)
def test_networks_of_anything_but_a_picture_neither_teach_nor_begin(fit, digits, tmp_path, shapes, told):
    layers = tf.keras.layers
    inputs = [tf.keras.Input(shape) for shape in shapes]
    rows = [layers.Flatten()(each) for each in inputs]
    model = tf.keras.Model(inputs, layers.Dense(10)(layers.Add()(rows) if len(rows) > 1 else rows[0]))
    model.save(path := str(tmp_path / "other.keras"))
    for refused in (lambda: sources.teacher(path, digits), lambda: sources.channels(path)):
        with pytest.raises(ConfigError, match=told):
            refused()


def test_a_teacher_whose_scores_are_a_map_is_refused_and_one_that_names_its_picture_teaches(digits, tmp_path):
    layers = tf.keras.layers
    pooled = [layers.Rescaling(1 / 255), layers.GlobalAveragePooling2D(keepdims=True)]
    scoring(*pooled, layers.Conv2D(10, 1)).save(tmp_path / "map.keras")
    with pytest.raises(ConfigError, match=r"gives \(None, 1, 1, 10\): it needs one output, a score per class"):
        sources.teacher(str(tmp_path / "map.keras"), digits)
    inputs = tf.keras.Input((8, 8, 1))
    rows = scoring(*pooled, layers.Flatten(), layers.Dense(10), inputs=inputs).output
    tf.keras.Model({"picture": inputs}, rows).save(tmp_path / "named.keras")
    assert sources.teacher(str(tmp_path / "named.keras"), digits)(np.zeros((2, 8, 8, 1), np.float32)).shape == (2, 10)


def test_a_part_of_a_larger_network_is_no_beginning(tmp_path):
    options = {"input_shape": (8, 8, 1), "num_classes": 10, "width": 16}
    zoo.create_model("ftbnn_r18_pure", units=(2,), **options).save(tmp_path / "deep.keras")
    shallow = zoo.create_model("ftbnn_r18_pure", units=(1,), **options)
    with pytest.raises(ConfigError, match=r"layers that are missing here, such as stage1_unit2\w*; give both the same"):
        sources.initialise(shallow, str(tmp_path / "deep.keras"))


def test_rare_classes_count_more_in_a_teachers_loss_too():
    tf.keras.utils.set_random_seed(0)
    student, teacher = (scoring(tf.keras.layers.Flatten(), tf.keras.layers.Dense(2)) for _ in range(2))
    learning = Student(student.inputs, student.outputs)
    learning.learn_from(teacher, Recipe(distillation_weight=1.0))
    learning.learn_only(None)
    learning.compile(loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True))
    object.__setattr__(learning, "learning", True)
    pictures, labels = tf.random.normal((2, 8, 8, 1)), tf.one_hot([0, 1], 2)

    def loss(*weights):
        return float(learning.compute_loss(pictures, labels, learning(pictures), tf.constant(weights)))

    assert loss(1.0, 1.0) == pytest.approx(loss(1.0, 0.0) + loss(0.0, 1.0)) and loss(0.0, 0.0) == 0
