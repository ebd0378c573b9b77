"""The classifier's answers, and what it refuses. The JSON file is not trusted."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import colors

from ftbnn_runtime import Classifier, Error, description


def test_its_answers_are_those_of_predict(published, package, tmp_path):
    from PIL import Image

    theirs = pytest.importorskip("ftbnn_larq.inference.prediction")
    pytest.importorskip("larq_compute_engine")
    paths = [tmp_path / f"{seed}.png" for seed in range(6)]
    for seed, path in enumerate(paths):
        Image.fromarray(colors(*[(32, 32), (90, 120), (61, 40)][seed % 3], seed)).save(path)
    classifier = Classifier(published, package=package)
    for path, expected in zip(paths, theirs.predict(published, paths, top=10)):  # noqa: B905 (Python 3.9 has no strict)
        found, expected = classifier(path), dict(expected["top"])
        assert found[0][0] == max(expected, key=expected.get)
        assert dict(found) == pytest.approx(expected, abs=1e-3)


def test_it_takes_files_images_and_arrays(published, package, photo):
    from PIL import Image

    classifier = Classifier(str(published), num_threads=2, isa="portable", claim="lce", package=package)
    assert classifier.input_shape == (32, 32, 3) and len(classifier.labels) == 10
    expected = classifier(photo)
    assert sorted(label for label, _ in expected) == sorted(classifier.labels)
    chances = [probability for _, probability in expected]
    assert chances == sorted(chances, reverse=True) and sum(chances) == pytest.approx(1)
    with Image.open(photo) as picture:
        assert classifier(picture) == expected
        assert classifier(np.asarray(picture)) == expected


@pytest.mark.parametrize("is_probability, score, yes", [(False, 0.0, 0.5), (False, 2.0, 0.880797), (True, 0.8, 0.8)])
def test_one_score_is_of_two_classes(is_probability, score, yes):
    from ftbnn_runtime.classifier import per_class

    found = per_class(np.array([score]), is_probability)
    np.testing.assert_allclose(found, [1 - yes, yes], atol=1e-6)


DELETED = object()


@pytest.mark.parametrize(
    "key, value, told",
    [
        ("output", DELETED, '"output" is null'),
        ("output", "scores", '"output" is "scores"'),
        ("output", ["logits"], '"output" is \\["logits"\\]'),
        ("data", DELETED, "names no data set"),
        ("data", None, '"data" is null, and not an object'),
        ("data", [1], '"data" is \\[1\\], and not an object'),
        ("data.labels", DELETED, '"labels" is null, and not a list'),
        ("data.labels", "abcdefghij", '"labels" is "abcdefghij", and not a list'),
        ("data.labels", [], '"labels" is not a list of names'),
        ("data.labels", list(range(10)), '"labels" is not a list of names'),
        ("data.labels", ["a", "b"], "gives scores of \\(1, 10\\), and its .json file has 2 labels"),
        ("data.input_shape", [32, 32], '"input_shape" is \\[32, 32\\]'),
        ("data.input_shape", [32, 32, True], '"input_shape" is \\[32, 32, true\\]'),
        ("data.input_shape", [32, -32, 3], '"input_shape" is'),
        ("data.input_shape", [32, 10**30, 3], '"input_shape" is'),
        ("data.input_shape", [32, 32, 4], "4 channels"),
        (
            "data.input_shape",
            [32, 30, 3],
            "takes \\(1, 32, 32, 3\\), .* says pictures of \\(32, 30, 3\\)",
        ),
        ("data.mean", [0.5], '"mean" is \\[0.5\\], and not 3 numbers'),
        ("data.mean", [0.5, 0.5, "0.5"], '"mean" is'),
        ("data.mean", [0.5, 0.5, float("nan")], '"mean" is'),
        ("data.mean", [], '"std" is not a number above 0'),
        ("data.std", [0.5, 0.5, 0], '"std" is not a number above 0'),
        ("data.std", [0.5, 0.5, float("inf")], '"std" is'),
        ("data.std", [0.5, 0.5, 10**400], '"std" is'),
    ],
)
def test_a_damaged_description_is_refused(network, key, value, told):
    path = network.with_suffix(".json")
    document = json.loads(path.read_text())
    place = document["data"] if "." in key else document
    if value is DELETED:
        del place[key.split(".")[-1]]
    else:
        place[key.split(".")[-1]] = value
    path.write_text(json.dumps(document))
    with pytest.raises(Error, match=told) as refused:
        Classifier(network)
    assert "\n" not in str(refused.value) and "model." in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"', "[" * 100_000, "\ud800"])
def test_what_is_no_description_is_refused(network, text):
    network.with_suffix(".json").write_text(text, errors="surrogatepass")
    with pytest.raises(Error, match=r"model\.json: damaged"):
        Classifier(network)


def test_lists_of_any_depth_are_refused(tmp_path):
    """What can just be read cannot be quoted."""
    path = tmp_path / "model.json"
    for depth in range(1, 1100):
        path.write_text('{"data": {}, "output": ' + "[" * depth + "]" * depth + "}")
        with pytest.raises(Error, match=r"model\.json: damaged"):
            description.read(tmp_path / "model.tflite")


def test_missing_files_are_named(network):
    network.with_suffix(".json").unlink()
    with pytest.raises(Error, match=r"model\.json is missing.*keep the two files together"):
        Classifier(network)
    network.unlink()
    with pytest.raises(Error, match=r"model\.tflite: no such file"):
        Classifier(network)


def test_a_damaged_flatbuffer_is_refused(network, package):
    network.write_bytes(b"no flatbuffer" * 100)
    with pytest.raises(Error, match=r"model\.tflite: cannot be loaded as a flatbuffer"):
        Classifier(network, package=package)


def test_several_threads_may_share_one(published, package):
    classifier = Classifier(published, package=package)
    shown = [colors(32, 32, seed) for seed in range(8)]
    expected = [classifier(picture) for picture in shown]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(classifier, shown * 50)) == expected * 50
