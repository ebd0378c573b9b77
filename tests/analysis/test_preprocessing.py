"""How a network's pixels were prepared in its training is found: networks that are right for one preprocessing only."""

from __future__ import annotations

import ftbnn_larq  # isort: skip (before TensorFlow)
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq import data
from ftbnn_larq.analysis import scores
from ftbnn_larq.analysis.preprocessing import found, given, scales_pixels
from ftbnn_larq.data import pipeline
from ftbnn_larq.data.preprocessing import KNOWN
from ftbnn_larq.errors import ConfigError
from ftbnn_larq.training import sources
from tests.conftest import two_tones, which_tone

assert ftbnn_larq
layers = tf.keras.layers


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return data.load(two_tones(tmp_path_factory.mktemp("tones")))


def test_each_preprocessing_is_found_by_top1(tones):
    for name, wanted in KNOWN.items():
        model = which_tone((8, 8, 3), 2, wanted.of(tones.config))
        prepared, choice = found(tones, model, are_probabilities=False, model=model)
        assert (choice.name, choice.chosen_by, choice.pictures) == (name, "trial", 112)
        # Those near to it may be right on all pictures, too; then the cross-entropy tells.
        assert choice.top1[name] == 1 and min(choice.top1.values()) < 0.6
        assert (prepared.config.mean, prepared.config.std) == (choice.mean, choice.std)
        assert f"{name} 100.0%" in choice.told()
        assert pipeline.sample(prepared.test, prepared.config, 64).shape == (32, 8, 8, 3)


def brighter(pictures) -> np.ndarray:
    """Right for `unit` on all pictures, for others but `raw` on all but the one that is nearly dark."""
    return np.stack([pictures[:, 0, 0, 0], np.full(len(pictures), 0.58)], axis=1)


def test_what_the_figures_cannot_tell_is_asked(tones):
    with pytest.raises(ConfigError, match=r"unit 100.0%, .*raw 50.0%; unit, .* are too close .*--preprocessing"):
        found(tones, brighter, are_probabilities=False)
    _, choice = found(tones, brighter, are_probabilities=False, assumed="standard")
    assert (choice.name, choice.chosen_by) == ("standard", "assumption") and "assumed" in choice.told()


def test_equal_answers_need_no_question(tones):
    """Both are right on all pictures; the better cross-entropy is taken."""
    certain = dataclasses.replace(tones, train=tones.validation)
    _, choice = found(certain, brighter, are_probabilities=False)
    assert choice.top1["unit"] == choice.top1["standard"] == 1 and choice.name == "larq_zoo"


def test_networks_that_scale_pixels_themselves_are_known(tones):
    augmenting = tf.keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.Resizing(16, 16), layers.ZeroPadding2D(1)]
    )
    fronts = {
        (layers.Rescaling(1 / 255),): True,
        (augmenting, layers.Rescaling(1 / 127.5, offset=-1)): True,
        (layers.Normalization(mean=120.0, variance=3600.0),): True,
        # These want pixels from 0 to 1.
        (layers.Rescaling(2.0, offset=-1),): False,
        (layers.Normalization(mean=0.5, variance=0.06),): False,
        (layers.BatchNormalization(), layers.Rescaling(1 / 255)): False,
        (): False,
    }
    for front, scales in fronts.items():
        inner = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), *front, layers.Conv2D(2, 3)])
        model = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), inner, layers.GlobalAveragePooling2D()])
        assert scales_pixels(model) == scales, front
        if scales:
            prepared, choice = found(tones, model, are_probabilities=False, model=model)
            assert (choice.name, choice.chosen_by) == ("raw", "network") and prepared.config.std == (1 / 255,) * 3


def test_the_standard_is_that_of_the_data_set_whatever_was_before(tones):
    raw, _ = given(tones, "raw")
    again, choice = given(raw, "standard")
    assert again.config == tones.config and choice.mean == tones.config.mean != raw.config.mean


@pytest.mark.parametrize("channels", [3, 1])
def test_a_teachers_preprocessing_is_found_and_pictures_are_adapted_to_it(tones, tmp_path, channels):
    """To its channels as well."""
    theirs = KNOWN["unit"].of(dataclasses.replace(tones.config, input_shape=(8, 8, channels)))
    model = which_tone((8, 8, channels), 2, theirs)
    model.save(tmp_path / "teacher.keras")
    told = []
    teacher = sources.teacher(str(tmp_path / "teacher.keras"), tones, told.append)
    pictures, labels = next(pipeline.batches(tones.test, tones.config, 32).as_numpy_iterator())
    assert (teacher.predict_on_batch(pictures).argmax(axis=1) == labels).all()
    assert "preprocessing: unit (top-1 on 112 training pictures: unit 100.0%" in told[0]


def test_one_score_is_two_classes():
    chances, logits = np.float32([[0.5], [0.6], [0.2]]), np.float32([[0.0], [0.3], [-2.0]])
    for values, are_probabilities in ((chances, True), (logits, False)):
        assert scores.classes(values, are_probabilities).tolist() == [0, 1, 0]
        assert scores.agreement(values, values[::-1], are_probabilities) == 1
        assert scores.agreement(values, values[[1, 0, 2]], are_probabilities) == pytest.approx(1 / 3)
        np.testing.assert_allclose(scores.probabilities(values, are_probabilities).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(scores.probabilities(logits, False)[:, 1], 1 / (1 + np.exp(-logits[:, 0])), rtol=1e-6)
    assert scores.classes(np.float32([[0.6], [0.4]]), False).tolist() == [1, 1]
