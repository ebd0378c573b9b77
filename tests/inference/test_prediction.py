"""Classes and accuracy of a flatbuffer, by the preprocessing that stands in its JSON file."""

from __future__ import annotations

import json
import shutil
import tracemalloc

import numpy as np
import pytest
from PIL import Image

import ftbnn_larq
from ftbnn_larq.errors import ConfigError, ModelFileError
from ftbnn_larq.inference.evaluation import evaluate
from ftbnn_larq.inference.interpreter import Interpreter
from ftbnn_larq.inference.prediction import predict
from tests.boards.helpers import PLAIN
from tests.runtime.sketch import Sketch


@pytest.fixture
def flatbuffer(tmp_path):
    """A small network for digits, with random weights, and its JSON file."""
    shutil.copy(PLAIN.with_suffix(".json"), tmp_path / "model.json")
    return shutil.copy(PLAIN, tmp_path / "model.tflite")


def test_an_engine_runs_flatbuffers_only(refused, command, flatbuffer, tmp_path):
    Image.new("L", (8, 8), 99).save(tmp_path / "grey.png")
    told = {engine: command("predict", flatbuffer, "grey.png", "--engine", engine) for engine in ("lce", "ftbnn")}
    assert told["lce"].status == 0 and told["lce"].out == told["ftbnn"].out
    assert "in LCE, on 360 pictures" in command("evaluate", flatbuffer, "--engine", "lce").out
    evaluated = command("evaluate", flatbuffer).out
    assert "in ftbnn-runtime, on 360 pictures" in evaluated
    for words in ("lowest top-1: ", "most frequent mistakes: ", " taken for ", "rows: the pictures' classes"):
        assert words in evaluated
    # A row for each of ten classes, whose pictures are 360.
    rows = [line.split() for line in evaluated.splitlines() if len(line.split()) == 11][1:]
    assert [row[0] for row in rows] == list("0123456789")
    assert sum(int(count) for row in rows for count in row[1:]) == 360
    assert "unknown engine 'lse': did you mean lce" in refused("predict", flatbuffer, "grey.png", "--engine", "lse")
    (tmp_path / "mine.keras").touch()
    (tmp_path / "run").mkdir()
    for words in (("evaluate", "mine.keras", "--dataset", "digits"), ("predict", "run", "grey.png")):
        assert f"engine lce: {words[1]} is no flatbuffer" in refused(*words, "--engine", "lce")


def test_scores_become_probabilities_of_labels_the_best_first(flatbuffer, tmp_path):
    value = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(value).save(tmp_path / "one.png")
    document = json.loads(PLAIN.with_suffix(".json").read_text())
    document["data"]["labels"] = labels = list("abcdefghij")
    (tmp_path / "model.json").write_text(json.dumps(document))
    (answer,) = predict(flatbuffer, [tmp_path / "one.png"], top=3)
    seen = (value / np.float32(255) - document["data"]["mean"][0]) / document["data"]["std"][0]
    with Interpreter(PLAIN) as interpreter:
        (scores,) = interpreter.predict(seen[None, ..., None].astype(np.float32))
    expected = sorted(zip(labels, np.exp(scores) / np.exp(scores).sum(), strict=True), key=lambda pair: -pair[1])
    assert answer["image"] == str(tmp_path / "one.png")
    assert [label for label, _ in answer["top"]] == [label for label, _ in expected[:3]]
    assert [each for _, each in answer["top"]] == pytest.approx([each for _, each in expected[:3]], rel=1e-4)


def test_an_output_of_probabilities_is_left_as_it_is(flatbuffer, tmp_path):
    Image.new("L", (8, 8), 99).save(tmp_path / "grey.png")
    (logits,) = predict(flatbuffer, [tmp_path / "grey.png"], top=10)
    document = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**document, "output": "probabilities"}))
    (scores,) = predict(flatbuffer, [tmp_path / "grey.png"], top=10)
    assert scores["top"][0][0] == logits["top"][0][0]
    assert sum(each for _, each in logits["top"]) == pytest.approx(1)
    assert sum(each for _, each in scores["top"]) != pytest.approx(1)


@pytest.mark.parametrize("engine", ["lce", "ftbnn"])
def test_scores_may_be_the_channels_of_a_single_pixel(flatbuffer, tmp_path, engine):
    sketch = Sketch(0)
    scores = sketch.window("CONV_2D", sketch.input((1, 8, 8, 1)), 10, (8, 8), (1, 1), same=False)
    with open(flatbuffer, "wb") as file:
        file.write(sketch.bytes(scores))
    Image.new("L", (8, 8), 99).save(tmp_path / "grey.png")
    (answer,) = predict(flatbuffer, [tmp_path / "grey.png"], top=10, engine=engine)
    assert sorted(label for label, _ in answer["top"]) == list("0123456789")
    found = evaluate(flatbuffer, engine=engine)
    assert found["examples"] == 360 and found["top5"] < 1


def test_no_pictures_have_no_answers(flatbuffer):
    assert predict(flatbuffer, []) == []


def test_a_number_of_classes_below_one_is_refused(flatbuffer):
    with pytest.raises(ConfigError, match="top = -1: give 1 or more"):
        predict(flatbuffer, [], top=-1)


def test_a_json_that_names_another_number_of_classes_is_refused(flatbuffer, tmp_path):
    Image.new("L", (8, 8), 99).save(tmp_path / "grey.png")
    document = json.loads((tmp_path / "model.json").read_text())
    for labels in ("abc", "abcdefghijkl"):
        document["data"]["labels"] = list(labels)
        (tmp_path / "model.json").write_text(json.dumps(document))
        with pytest.raises(ModelFileError, match=rf"model\.json names {len(labels)} classes, .* gives 10 scores"):
            predict(flatbuffer, [tmp_path / "grey.png"])


def test_accuracy_is_that_of_the_whole_test_split_whatever_the_batches(flatbuffer):
    seen = []
    found = evaluate(flatbuffer, batch_size=100, engine="lce", on_start=seen.append, on_batch=seen.append)
    assert seen == [360, 100, 100, 100, 60]
    assert found["examples"] == 360 and found["dataset"] == "digits"
    # Random weights; top-5 of ten classes.
    assert 0 < found["top1"] < 0.4 < found["top5"] + 0.2
    assert evaluate(flatbuffer, batch_size=360) == {**found, "engine": "ftbnn"}


def test_a_network_with_weights_that_are_no_numbers_is_refused_in_place_of_zero_percent(tmp_path):
    model = ftbnn_larq.create_model("ftbnn_r18_pure", input_shape=(8, 8, 1), num_classes=10, width=16)
    norm = next(layer for layer in model.layers if layer.name.endswith("_bn"))
    norm.gamma.assign(np.full(norm.gamma.shape, np.nan))
    model.save(tmp_path / "spoilt.keras")
    with pytest.raises(ModelFileError, match=rf"spoilt\.keras: {norm.name}/gamma holds NaN or infinity"):
        evaluate(tmp_path / "spoilt.keras", dataset="digits", preprocessing="unit")


def test_photographs_are_not_all_held_at_once(flatbuffer, tmp_path):
    photograph = tmp_path / "large.png"
    Image.new("L", (5000, 4000), 99).save(photograph)
    predict(flatbuffer, [photograph])
    tracemalloc.start()
    assert len(predict(flatbuffer, [photograph] * 8)) == 8
    # Three of them, of three channels.
    assert tracemalloc.get_traced_memory()[1] < 3 * 3 * 5000 * 4000
    tracemalloc.stop()
