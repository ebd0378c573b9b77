"""Published weights: near what they hold, found by name, checked before they are used."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import ftbnn_larq
from benchmarks.publish import publish
from ftbnn_larq import runs, zoo
from ftbnn_larq.conversion.passes import int8
from ftbnn_larq.documents import DataConfig, Network, Training
from ftbnn_larq.errors import ConfigError, ModelFileError
from ftbnn_larq.inference import prediction
from ftbnn_larq.inference.interpreter import Interpreter
from ftbnn_larq.models.ends import up_to_logits
from ftbnn_larq.models.weights import load_weights, read_description, save_compact
from ftbnn_larq.training import sources
from ftbnn_larq.zoo import register
from ftbnn_larq.zoo.trained import load_run
from tests.conftest import OPTIONS, about, made_once

# Of a network whose description nobody reads.
DESCRIBED = Training(Network("ftbnn_r18_pure", {}, (8, 8, 1), 4), DataConfig("shades", (8, 8, 1), tuple("abcd")))


@pytest.fixture(scope="module")
def library(trained, tmp_path_factory):
    """A zoo that publishes the network of `trained`."""
    return made_once(tmp_path_factory, "weights", lambda folder: publish(trained.run, folder))


@pytest.fixture
def published(library, monkeypatch):
    monkeypatch.setattr(register, "WEIGHTS", library)
    return library


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).normal(size=(16, 8, 8, 1)).astype(np.float32)


def test_published_weights_are_the_trained_network_and_near_their_bits(published, trained, pictures):
    assert zoo.published_weights("ftbnn_r18") == ["digits"]
    assert zoo.published_weights("ftbnn_r18_pure") == []
    network = ftbnn_larq.create_model("ftbnn_r18", weights="digits")
    run = runs.open_run(trained.run)
    np.testing.assert_array_equal(network(pictures), load_run(run)(pictures))
    from ftbnn_larq.analysis.counts import count

    assert zoo.published("ftbnn_r18", "digits").stat().st_size < 1.5 * count(network)["weights_bytes"] + 40_000


def test_what_is_published_says_what_it_is_and_how_good(published, trained):
    description = read_description(zoo.published("ftbnn_r18", "digits"))
    assert description.keras["top1"] == trained.result["top1"] == about(description.lce["top1"])
    assert description.recipe["epochs"] == trained.result["epochs"]
    assert description.seed == 0 and description.versions["larq"]
    assert "runs" not in repr(description), "no path of the machine that trained it"


def test_the_published_flatbuffer_evaluates_to_the_published_accuracy(published, trained, tmp_path):
    assert ftbnn_larq.evaluate("ftbnn_r18:digits")["top1"] == about(trained.result["top1"])
    assert zoo.published_flatbuffer("some/model.tflite").name == "model.tflite"
    Image.new("L", (8, 8), 9).save(tmp_path / "dark.png")
    (answer,) = prediction.predict("ftbnn_r18:digits", [tmp_path / "dark.png"], top=10)
    assert sum(probability for _, probability in answer["top"]) == about(1)


def test_a_published_network_converts_without_a_run(published, trained, command, refused, tmp_path):
    result = command("convert", "ftbnn_r18:digits", "--json")
    assert result.status == 0, result.err
    assert result.out["path"] == "ftbnn_r18-digits.tflite" and result.out["proven_on"] == "digits"
    assert result.out["top1"]["keras"] == trained.result["top1"] == about(result.out["top1"]["lce"])
    assert ftbnn_larq.evaluate(tmp_path / "ftbnn_r18-digits.tflite")["top1"] == result.out["top1"]["lce"]
    assert command("convert", "ftbnn_r18:digits", "--to", "keras").status == 0
    assert tf.keras.models.load_model(tmp_path / "ftbnn_r18-digits.keras").name == "ftbnn_r18"
    assert "no published weights 'mars'" in refused("convert", "ftbnn_r18:mars")
    assert "ftbnn_r18:digits has its own, digits" in refused("convert", "ftbnn_r18:digits", "--dataset", "cifar10")


def test_the_published_flatbuffer_is_measured_and_called_by_its_name(published, command, refused):
    result = command("benchmark", "ftbnn_r18:digits", "--runs", 2, "--pictures", "test", "--json")
    assert result.status == 0, result.err
    assert result.out[0]["path"] == "ftbnn_r18:digits" and result.out[0]["classes"] == 10
    assert ftbnn_larq.benchmark("ftbnn_r18:digits", runs=1, warmup=0)[0]["input_shape"] == (8, 8, 1)
    assert "no published weights 'mars'" in refused("benchmark", "ftbnn_r18:mars")


def test_the_published_network_is_analyzed_without_a_run(published, command, refused, tmp_path):
    result = command("analyze", "linearity", "ftbnn_r18:digits", "--pictures", 96, "--json")
    assert result.status == 0, result.err
    assert result.out["trained"] and result.out["run"] == "ftbnn_r18:digits" and result.out["dataset"] == "digits"
    assert (tmp_path / result.out["picture"]).is_file()
    assert "no published weights 'mars'" in refused("analyze", "linearity", "ftbnn_r18:mars")


def test_published_weights_take_another_head_and_none(published, pictures):
    features = ftbnn_larq.create_model("ftbnn_r18", weights="digits", include_top=False)
    whole = ftbnn_larq.create_model("ftbnn_r18", weights="digits")
    inner = tf.keras.Model(whole.input, whole.get_layer("pool").input)
    np.testing.assert_allclose(features(pictures), inner(pictures), atol=1e-5)
    network = ftbnn_larq.create_model("ftbnn_r18", input_shape=(8, 8, 1), num_classes=3, **OPTIONS)
    assert sources.initialise(network, "ftbnn_r18:digits") == ["logits"]
    with pytest.raises(ConfigError, match=r"10 classes, not 3: take include_top=False .* init_from=ftbnn_r18:digits,"):
        ftbnn_larq.create_model("ftbnn_r18", weights="digits", num_classes=3)
    for top in (True, False):
        with pytest.raises(ConfigError, match=r"another stem, with or without the top: give .* less than 128 pixels"):
            ftbnn_larq.create_model("ftbnn_r18", weights="digits", input_shape=(128, 128, 1), include_top=top)
    larger = ftbnn_larq.create_model("ftbnn_r18", weights="digits", input_shape=(96, 96, 1), include_top=False)
    assert larger.output_shape[1:3] == (6, 6)
    with pytest.raises(ConfigError, match="pictures of 1 channels, not 3"):
        ftbnn_larq.create_model("ftbnn_r18", weights="digits", input_shape=(8, 8, 3))
    with pytest.raises(ConfigError, match=r"'imagenet' \(published: digits\)"):
        ftbnn_larq.create_model("ftbnn_r18", weights="imagenet")
    with pytest.raises(ModelFileError, match="weights of ftbnn_r18, not of bireal_r18"):
        ftbnn_larq.create_model("bireal_r18", weights=zoo.published("ftbnn_r18", "digits"))


def test_a_publication_that_fails_leaves_what_was_published(library, trained, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("no space")

    here = shutil.copytree(library, tmp_path / "weights")
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    monkeypatch.setattr("ftbnn_larq.models.weights.save_compact", fail)
    with pytest.raises(OSError, match="no space"):
        publish(trained.run, here)
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


@pytest.mark.parametrize("suffix", [".npz", ".tflite"])
def test_a_file_that_is_not_the_published_one_is_refused(library, tmp_path, monkeypatch, suffix):
    here = shutil.copytree(library, tmp_path / "weights")
    victim = here / f"ftbnn_r18-digits{suffix}"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    monkeypatch.setattr(register, "WEIGHTS", here)
    with pytest.raises(ModelFileError, match="SHA-256"):
        zoo.published("ftbnn_r18", "digits", suffix)


def test_damaged_weights_and_those_of_another_network_are_refused(tmp_path):
    arguments = {"input_shape": (8, 8, 1), "num_classes": 4, "units": (1, 1)}
    model = ftbnn_larq.create_model("ftbnn_r18_pure", width=16, **arguments)
    path = tmp_path / "w.npz"
    save_compact(model, path, DESCRIBED)
    with pytest.raises(ModelFileError, match=r"stem_conv/kernel is \(3, 3, 1, 8\) there, \(3, 3, 1, 16\) here"):
        load_weights(ftbnn_larq.create_model("ftbnn_r18_pure", width=32, **arguments), path)
    with pytest.raises(ModelFileError, match="more, first stage2_unit2"):
        load_weights(model, _with_more_units(tmp_path, arguments))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelFileError, match=r"w\.npz: damaged"):
        load_weights(model, path)


def _with_more_units(folder, arguments):
    deeper = ftbnn_larq.create_model("ftbnn_r18_pure", width=16, **{**arguments, "units": (1, 2)})
    save_compact(deeper, folder / "deeper.npz", DESCRIBED)
    return folder / "deeper.npz"


@pytest.mark.slow
def test_every_published_file_of_the_zoo_is_sound():
    for name in zoo.list_models():
        for dataset in zoo.published_weights(name):
            for suffix in (".npz", ".tflite", ".json"):
                zoo.published(name, dataset, suffix)
            network, data = zoo.pretrained(name, dataset)
            assert network.name == name
            pictures = np.random.default_rng(0).normal(size=(8, *data["input_shape"])).astype(np.float32)
            with Interpreter(zoo.published(name, dataset, ".tflite")) as interpreter:
                answers = interpreter.predict(pictures)
            model = up_to_logits(network)
            # The flatbuffer holds large float kernels in 8 bits.
            with int8.rounded(model):
                apart = np.abs(answers - model(pictures)).max(axis=1)
            # But for a sign whose input is zero but for rounding, which Keras and LCE may take otherwise.
            assert (apart < 1e-3 * np.ptp(answers)).sum() >= 7


def test_a_name_that_is_not_published_says_what_is(refused):
    assert "no published weights 'mars'" in refused("predict", "ftbnn_r18:mars", "photo.jpg")
    assert "no published weights 'mars'" in refused("evaluate", "ftbnn_r18:mars")
