"""Weights that others trained on ImageNet: fetched by larq-zoo's and Keras's own loaders, from a local server.

Only the address is another one, and the checksum that of the file served, which has random weights.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import inspect
import io
import json
import re
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras.src.utils.data_utils
from PIL import Image

from ftbnn_larq import data
from ftbnn_larq.data import imagenet, pipeline
from ftbnn_larq.errors import ConfigError
from ftbnn_larq.inference import evaluation
from ftbnn_larq.training import sources
from ftbnn_larq.zoo import networks, peers, trained
from tests.conftest import line_of_refusal, run_without_tensorflow, two_tones
from tests.data import tfds_files

NAME = "larq_zoo:QuickNetSmall"
REFERENCE = f"{NAME}:imagenet"
FILE = "quicknet_small_weights.h5"
TEACHER = "keras:MobileNetV3Small"
# One prepares pictures itself, the other needs the function of its module.
TEACHERS = {
    TEACHER: ("weights_mobilenet_v3_small_224_1.0_float.h5", lambda pixels: pixels),
    "keras:MobileNet": ("mobilenet_1_0_224_tf.h5", lambda pixels: pixels / 127.5 - 1),
}


@pytest.fixture(scope="module")
def network():
    """`NAME` with random weights, which become those of ImageNet."""
    tf.keras.utils.set_random_seed(0)
    return networks.create(NAME)


@pytest.fixture(scope="module")
def served(network, tmp_path_factory):
    """The folder of a server of this machine, and its address; it has the weights of `network`."""
    folder = tmp_path_factory.mktemp("served")
    network.save_weights(folder / FILE)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *told):
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of its own, with an empty cache of Keras."""
    (tmp_path / "home" / ".keras").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def fetched_from(monkeypatch, home):
    """Let Keras's get_file ask another server, with the checksum of what is served there."""
    own = tf.keras.utils.get_file

    def redirect(address: str, folder: Path | None = None):
        def get_file(fname, origin, *, file_hash=None, **options):
            file = Path(origin).name
            digest = hashlib.sha256((folder / file).read_bytes()).hexdigest() if folder else file_hash
            return own(fname, f"{address}/{file}", file_hash=digest, **options)

        for module in (tf.keras.utils, tf_keras.src.utils.data_utils):
            monkeypatch.setattr(module, "get_file", get_file)

    return redirect


@pytest.fixture
def short_proof(monkeypatch):
    """Few pictures in the proof, which is as long for every network."""
    monkeypatch.setattr("ftbnn_larq.conversion.source.PROOF_PICTURES", 4)


@pytest.fixture
def online(served, fetched_from):
    folder, address = served
    fetched_from(address, folder)


@pytest.fixture(scope="module")
def closed() -> str:
    """An address at which no one listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def photo(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """TFDS's folder with an imagenet2012 of 8 pictures a split, with its classes as TFDS calls them."""
    import tensorflow_datasets as tfds

    numbers = [line.split()[0] for line in Path(imagenet.__file__).with_suffix(".txt").read_text().splitlines()]
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=[each for each in numbers if each != "#"]),
            "file_name": tfds.features.Text(),
        }
    )
    generator = np.random.default_rng(0)
    examples = [
        {"image": generator.integers(0, 256, (40, 50, 3), np.uint8), "label": 90 * each, "file_name": f"{each}.JPEG"}
        for each in range(8)
    ]
    folder = tmp_path_factory.mktemp("tfds")
    tfds_files.write(folder, "imagenet2012", "5.1.0", features, {"train": examples, "validation": examples})
    return folder


def kept(home: Path) -> list[str]:
    # Keras writes its settings when it is imported.
    return [path.name for path in home.rglob("*") if path.is_file() and path.name != "keras.json"]


def test_the_classes_are_imagenets_in_its_order():
    labels = imagenet.labels()
    assert len({label.casefold() for label in labels}) == 1000
    assert (labels[0], labels[1], labels[999]) == ("tench", "goldfish", "toilet tissue")
    import tensorflow_datasets

    root = Path(tensorflow_datasets.__file__).parent
    numbers = sorted((root / "image_classification/imagenet_resized_labels.txt").read_text().split())
    assert imagenet.in_english(tuple(numbers)) == labels
    assert imagenet.in_english(("n01440764", "cat")) == ("n01440764", "cat")


@pytest.mark.parametrize("name", peers.NAMES)
def test_top1_is_what_larq_zoo_says(name):
    _, factory = peers._factory(name)
    said = re.search(r"\| ([\d.]+) ?% +\|", inspect.getdoc(factory))
    assert peers.PUBLISHED_TOP1[name] == pytest.approx(float(said[1]) / 100)
    # By which larq-zoo's module asks for a file and its checksum.
    assert "download_pretrained_model" in inspect.getsource(inspect.getmodule(factory))


def test_what_has_no_weights_is_refused_without_tensorflow(tmp_path):
    refused = {
        ("convert", "larq_zoo:QuickNt:imagenet"): "did you mean larq_zoo:QuickNet",
        ("predict", "larq_zoo:QuickNet:cifar10", "a.png"): "larq_zoo:QuickNet has no weights 'cifar10': say",
        ("evaluate", REFERENCE, "--engine", "lce"): "Keras runs it",
        ("benchmark", "larq_zoo:QuickNet:cifar10"): "say larq_zoo:QuickNet:imagenet",
        ("analyze", "linearity", NAME): f"say {REFERENCE}",
        ("train", NAME, "--init-from", NAME): f"say {REFERENCE}",
        ("train", NAME, "--init-from", TEACHER): f"--teacher {TEACHER}",
        ("train", NAME, "--teacher", "keras:MobileNetV3Smal"): "did you mean keras:MobileNetV3Small",
        ("train", NAME, "--teacher", "keras:NoNet"): "unknown model 'keras:NoNet': did you mean keras:MobileNet or",
        ("train", NAME, "--init-from", "keras:MobileNetV2:imagenet"): "--teacher keras:MobileNetV2)",
        ("train", NAME, "--init-from", "larq_zoo:QuickNt"): "unknown model 'larq_zoo:QuickNt': did you mean larq_zoo:",
        ("evaluate", "larq_zoo:QuickNet:a:b"): "larq_zoo:QuickNet has no weights 'a:b'",
    }
    for words, told in zip(refused.values(), run_without_tensorflow(*refused, cwd=tmp_path), strict=True):
        assert words in line_of_refusal(told)


def test_a_photo_is_classified_with_english_names(network, online, home, photo, command):
    told = command("predict", REFERENCE, photo, "--json")
    assert told.status == 0, told.err
    pixels = np.asarray(Image.open(photo), np.float32) / 255
    prepared = (pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    (expected,) = network.predict_on_batch(prepared[None].astype(np.float32))
    best = np.argsort(-expected)[:5]
    assert [label for label, _ in told.out[0]["top"]] == [imagenet.labels()[index] for index in best]
    assert [value for _, value in told.out[0]["top"]] == pytest.approx(expected[best], rel=1e-3)
    assert kept(home) == [FILE]


def test_a_file_with_another_checksum_is_not_kept(served, fetched_from, home, photo, refused):
    fetched_from(served[1])
    (home / ".keras" / "models").mkdir()
    (home / ".keras" / "models" / "other.h5").touch()
    line = refused("predict", REFERENCE, photo, "--json")
    assert f"the weights of {NAME} for ImageNet cannot be fetched" in line and "hash" in line
    assert kept(home) == ["other.h5"]


def test_without_internet_it_says_what_to_do(fetched_from, closed, home, tmp_path, refused):
    fetched_from(closed)
    line = refused("convert", REFERENCE, "-o", "small.tflite")
    assert "connect to the internet" in line and str(home / ".keras") in line
    assert kept(home) == [] and not list(tmp_path.glob("*.tflite"))


def test_other_classes_get_a_new_head_and_a_terminal_the_bar(network, online, served, capfd, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    student = networks.create(NAME, input_shape=(64, 64, 3), num_classes=3)
    fresh = sources.initialise(student, REFERENCE)
    assert len(fresh) == 1 and student.get_layer(fresh[0]).kernel.shape == (512, 3)
    for ours, theirs in zip(student.get_weights()[:-2], network.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    size = (served[0] / FILE).stat().st_size
    assert f"{size}/{size}" in terminal.getvalue() and capfd.readouterr().out == ""


def test_imagenets_numbers_and_names_are_the_same_classes(network, served, home, fetched_from, closed, pictures):
    """With a file in the cache, as it was fetched or brought there: the server is not asked."""
    fetched_from(closed, served[0])
    cache = home / ".keras/larq/models/quicknet"
    cache.mkdir(parents=True)
    shutil.copy(served[0] / FILE, cache)
    result = evaluation.evaluate(REFERENCE, data_dir=str(pictures))
    own = trained.find(REFERENCE).data
    loaded = data.load("imagenet2012", data_dir=str(pictures), config=own)
    ((batch, labels),) = pipeline.batches(loaded.test, own, 8)
    assert labels.numpy().tolist() == [90 * each for each in range(8)]
    top1 = np.mean(np.argmax(network.predict_on_batch(batch), axis=1) == labels)
    assert (result["top1"], result["examples"], result["engine"]) == (pytest.approx(top1), 8, "keras")
    assert result["path"] == REFERENCE


@pytest.mark.parametrize("name", TEACHERS)
def test_a_network_of_keras_is_a_teacher_that_sees_pictures_as_it_learned_to(online, served, pictures, name):
    file, prepared = TEACHERS[name]
    tf.keras.utils.set_random_seed(1)
    original = getattr(tf.keras.applications, name.removeprefix("keras:"))(weights=None)
    original.save_weights(served[0] / file)
    loaded = data.load("imagenet2012", data_dir=str(pictures))
    teacher = sources.teacher(name, loaded)
    raw = np.stack([picture for picture, _ in pipeline.pictures(loaded.test, loaded.config).as_numpy_iterator()])
    answers = tf.nn.softmax(teacher.predict_on_batch(pipeline.normalise(raw, loaded.config)))
    expected = original.predict_on_batch(prepared(raw.astype(np.float32)))
    np.testing.assert_allclose(answers, expected, atol=1e-3 * expected.max())
    with pytest.raises(ConfigError, match=rf"teacher {name} has classes tench, .* has 10 classes: 0, 1"):
        sources.teacher(name, data.load("digits", channels=3, input_size=224))


@pytest.mark.slow
def test_every_command_takes_it(online, short_proof, pictures, photo, command):
    """The flatbuffer is made for the occasion where there is none."""

    def run(*arguments):
        told = command(*arguments, "--json")
        assert told.status == 0, told.err
        return told.out

    converted = run("convert", REFERENCE, "-o", "small.tflite", "--data-dir", pictures)
    assert converted["model"] == {"name": NAME, "weights": "imagenet"} and converted["proven_on"] == "imagenet2012"
    assert converted["top1"]["keras"] == run("evaluate", REFERENCE, "--data-dir", pictures)["top1"]
    by_keras, by_flatbuffer = (run("predict", each, photo)[0]["top"] for each in (REFERENCE, "small.tflite"))
    assert by_flatbuffer[0] == [by_keras[0][0], pytest.approx(by_keras[0][1], rel=0.05)]
    linearity = run("analyze", "linearity", REFERENCE, "--pictures", 2, "--data-dir", pictures)
    assert linearity["trained"] and linearity["layers"]
    (timed,) = run("benchmark", REFERENCE, "--runs", 1, "--warmup", 0)
    assert (timed["path"], timed["classes"]) == (REFERENCE, 1000)


@pytest.mark.slow
def test_trainings_begin_with_it_and_learn_from_keras(online, served, pictures, tmp_path, command):
    (tmp_path / "tones").mkdir()
    own = ("--dataset", two_tones(tmp_path / "tones"), "--input-size", 32, "--batch-size", 16, "--epochs", 1)
    told = command("train", NAME, *own, "--init-from", REFERENCE, "--json")
    assert told.status == 0 and told.out["epochs"] == 1, told.err
    tf.keras.applications.MobileNetV3Small(weights=None).save_weights(served[0] / TEACHERS[TEACHER][0])
    theirs = ("--dataset", "imagenet2012", "--data-dir", pictures, "--batch-size", 4, "--epochs", 1)
    student = ("ftbnn_r18", "--width", 16, "--set", "units=1,1,1,1")
    told = command("train", *student, *theirs, "--teacher", TEACHER, "--json")
    assert told.status == 0 and told.out["dataset"] == "imagenet2012", told.err


@pytest.mark.slow
def test_it_is_deployed(online, short_proof, home, photo, tmp_path, command, request, monkeypatch):
    """To this machine, as to a board. Wheels for it are fetched from PyPI, and stay in pytest's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(request.config.cache.mkdir("deploy")))
    told = command("deploy", REFERENCE, "--on", "local", "--to", tmp_path / "classifier", "--verify", 2, "--json")
    assert told.status == 0, told.err
    classify = [tmp_path / "classifier" / "classify", photo, "--json"]
    done = subprocess.run(classify, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0]["top"][0][0] == command("predict", REFERENCE, photo, "--json").out[0]["top"][0][0]
