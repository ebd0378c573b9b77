"""Whatever is damaged in a document is one error of the library, which names the file and the key."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from ftbnn_larq import documents, recipe
from ftbnn_larq.benchmarking import measurements
from ftbnn_larq.documents.reading import MOST_BYTES
from ftbnn_larq.errors import ConfigError, DataError, FtbnnError, RunError, UnknownNameError
from ftbnn_larq.models.weights import read_description

OLD = Path(__file__).parents[1] / "zoo" / "files_of_0_1" / "run"
PUBLISHED = Path(__file__).parents[2] / "zoo" / "weights"
MEASURED = {
    "path": "model.tflite",
    "on": "adb",
    "when": "2026-01-02T03:04:05+0000",
    "device": {"cpu": "4x Cortex-A72", "cores": 4, "temperature_c": 48.5},
    "kernel": "default",
    "threads": 1,
    "runs": 50,
    "latency_ms": {"mean": 4.5, "median": 4.5, "min": 4.25, "std": 0.1},
    "ratio": 1.0,
    "bytes": 213_490,
    "operators": [{"type": "LceBconv2d", "count": 16, "ms": 3.25}],
    "warnings": ["the board is hot"],
    "peak_memory_mb": 8.0,
    "layers": [{"layer": "stage1_unit1_conv", "type": "LceBconv2d", "ms": 3.25}],
    "input_shape": [8, 8, 1],
    "classes": 10,
    "sha256": "abc",
}
# An empty picture.
PNG = "iVBORw0KGgo="
ANSWERS = {
    "examples": 4,
    "per_class": [{"label": "cat", "examples": 4, "top1": 0.75}, {"label": "dog", "examples": 0, "top1": None}],
    "confusion": [{"label": "cat", "predicted": "dog", "examples": 1}],
    "mistakes": [{"label": "cat", "predicted": "dog", "probability": 0.9, "picture": PNG, "file": "cat/1.png"}],
}
FOLDS = {
    "path": "runs/ftbnn_r18-pets-2folds-0123abcd",
    "model": "ftbnn_r18",
    "dataset": "folder:/pets",
    "folds": [{"fold": at, "run": f"runs/{at}", "examples": 20, "top1": 0.8, "top5": 1.0} for at in (1, 2)],
    "top1": 0.8,
    "std": 0.0,
    "seconds": 12.5,
}


def _stored(path: Path):
    return json.loads(path.read_text())


def _config() -> dict:
    stored = _stored(OLD / "config.json")
    # Optional keys that this file has not.
    return {**stored, "data": {**stored["data"], "fold": [1, 2]}, "length_changed": [{"after": 2, "of": 3}]}


def _described() -> dict:
    return dataclasses.asdict(read_description(PUBLISHED / "ftbnn_r18-cifar10.npz"))


DOCUMENTS = {
    "config": (documents.Training, lambda: _config()),
    "checkpoint": (documents.Checkpoint, lambda: _stored(OLD / "checkpoints" / "epoch-0002.json")),
    "result": (documents.Result, lambda: _stored(OLD / "result.json")),
    "model": (documents.Sidecar, lambda: _stored(PUBLISHED / "ftbnn_r18-cifar10.json")),
    "description": (documents.Weights, lambda: json.loads(json.dumps(_described()))),
    "measurement": (documents.Measurement, lambda: copy.deepcopy(MEASURED)),
    "answers": (documents.Answers, lambda: copy.deepcopy(ANSWERS)),
    "folds": (documents.Folds, lambda: copy.deepcopy(FOLDS)),
}
# What a class leaves alone: nobody reads it.
FREE = ("options", "versions", "recipe", "keras", "lce")


def _read(folder: Path, kind: type, value):
    (folder / "it.json").write_text(json.dumps(value) if not isinstance(value, str) else value)
    return documents.read(folder / "it.json", kind, RunError)


def _places(value, kind, place=()):
    """Where in a document each value stands that its class names."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if place or key in {field.name for field in dataclasses.fields(kind)}:
            yield (*place, key)
            yield from _places(inner, kind, (*place, key))


def _changed(value, place: tuple, change):
    """A copy of a document with another value at a place; without it where `change` is None."""
    value = copy.deepcopy(value)
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    if change is None:
        del inner[place[-1]]
    else:
        inner[place[-1]] = change(inner[place[-1]])
    return value


def _deep(_):
    inner: list = []
    for _ in range(200):
        inner = [inner]
    return inner


# Each is wrong wherever a value of that type stands.
WRONG = {
    "another type": lambda old: {"a": 1} if isinstance(old, str | int | float | bool | list | None) else "word",
    "a word for a number": lambda old: "ten" if isinstance(old, int | float) else 7,
    "a large number": lambda old: 10**400 if isinstance(old, int | float) and not isinstance(old, bool) else 2**64,
    "a number that overflowed": lambda old: float("inf"),
    "deep nesting": _deep,
}


@pytest.mark.parametrize("damage", WRONG)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_wrong_value_is_told_with_file_and_key(tmp_path, name, damage):
    kind, made = DOCUMENTS[name]
    whole = made()
    tried = 0
    for place in _places(whole, kind):
        if any(key in FREE for key in place[:-1]):
            continue
        tried += 1
        with pytest.raises(RunError) as told:
            _read(tmp_path, kind, _changed(whole, place, WRONG[damage]))
        said = str(told.value)
        assert said.startswith(str(tmp_path / "it.json")) and len(said) < 600, said
        names = [str(key) for key in place if isinstance(key, str)]
        assert names[-1] in said or "[...]" in said, (place, said)
    assert tried >= 5


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_missing_key_is_told_or_has_its_default(tmp_path, name):
    kind, made = DOCUMENTS[name]
    whole = made()
    refused = set()
    for place in _places(whole, kind):
        if isinstance(place[-1], int):
            continue
        try:
            _read(tmp_path, kind, _changed(whole, place, None))
        except RunError as error:
            assert place[-1] in str(error), (place, error)
            refused.add(place)
    needed = {(field.name,) for field in dataclasses.fields(kind) if not _has_default(field)}
    assert refused >= needed


def _has_default(field: dataclasses.Field) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("config", ("data", "labels"), list("abc"), "data.labels has 3 names, expected 10"),
        ("config", ("data", "input_shape"), [8, 8], "data.input_shape: expected array of length 3"),
        ("config", ("data", "input_shape"), [8, 8, 2], "channels, expected 1 or 3"),
        ("config", ("data", "input_shape"), [16, 16, 1], "expected (8, 8, 1), as model.input_shape says"),
        ("config", ("data", "mean"), [0.1, 0.2], "data.mean has 2 numbers, expected 1"),
        ("config", ("data", "std"), [0.0], "data.std is no number above 0"),
        ("config", ("data", "std"), [1e-320], "data.std holds"),
        ("config", ("data", "name"), "folder:a\0b", "no character 0"),
        ("config", ("data", "crop"), "\udce9", "data.crop"),
        ("config", ("seed",), -1, "seed is -1, expected 0 to 4,294,967,294"),
        ("config", ("model", "classes"), 10**9, "model: classes is 1000000000"),
        ("config", ("model", "input_shape"), [10**6, 8, 1], "input_shape is 1000000"),
        ("config", ("model", "options"), {"units": [[1]]}, "options.units is a list of 1"),
        ("checkpoint", ("epoch",), 3, "history has 2 rows, expected 3"),
        ("checkpoint", ("history", 1, "loss"), "low", "history[1][...]: expected"),
        (
            "checkpoint",
            ("history", 1),
            {"epoch": 2, "val_top1": 0, "seconds": 1, "\udce9": 1},
            "history[1] has the key",
        ),
        ("result", ("top1",), 1.5, "top1 is 1.5, expected 0 to 1"),
        ("result", ("last", "top5"), -0.5, "last: top5 is -0.5"),
        ("model", ("output",), "scores", "expected logits or probabilities"),
        ("config", ("data", "fold"), [3, 2], "data.fold is 3, expected 1 to 2"),
        ("config", ("data", "fold"), [1, 10**6], "the number of folds in data.fold is 1000000, expected 2 to 100"),
        ("answers", ("mistakes", 0, "picture"), "<svg>", 'picture is "<svg>", expected Base64'),
        ("answers", ("mistakes", 0, "picture"), "PHN2Zz4=", "expected a PNG file"),
        ("answers", ("mistakes", 0, "picture"), PNG + "A" * 2**16, "the letters of picture is 65548"),
        ("answers", ("confusion", 0, "predicted"), "emu", 'is "emu", expected a label of per_class'),
        ("answers", ("per_class",), [], "the number of per_class is 0"),
        ("folds", ("folds",), FOLDS["folds"][:1], "the number of folds is 1, expected 2 to 100"),
        ("measurement", ("latency_ms", "median"), -1.0, "latency_ms: median is -1.0"),
        ("measurement", ("operators", 0), {"type": "ADD", "count": 1}, "rows without ms"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, name, place, value, words):
    kind, made = DOCUMENTS[name]
    with pytest.raises(RunError) as told:
        _read(tmp_path, kind, _changed(made(), place, lambda old: value))
    assert words in str(told.value)


BROKEN = {
    "cut": (b'{"epoch": 1, "sha', "damaged"),
    "empty": (b"", "damaged"),
    "no UTF-8": (b'{"name": "\xff\xfe"}', "not UTF-8 (invalid start byte at byte 10)"),
    "brackets": (b"[" * 100_000, "nested too deep"),
    "objects": (b'{"a":' * 100_000, "nested too deep"),
    "digits": (b'{"epoch": ' + b"9" * 5_000 + b"}", "Exceeds the limit"),
    "exponent": (b'{"epoch": 1e999}', "1e999 is larger than any number"),
    "a list": (b"[]", "expected object, not a list of 0"),
    "nothing": (b"null", "expected object, not null"),
    "too large": (b" " * (MOST_BYTES + 1), "larger than 16,384 KB"),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_file_that_is_none_is_told(tmp_path, damage):
    content, words = BROKEN[damage]
    (tmp_path / "it.json").write_bytes(content)
    for kind, _ in DOCUMENTS.values():
        if damage in ("a list", "nothing") or kind is documents.Checkpoint:
            with pytest.raises(RunError) as told:
                documents.read(tmp_path / "it.json", kind, RunError)
            assert words in str(told.value) and str(tmp_path / "it.json") in str(told.value)
            assert "sys." not in str(told.value)
    # The same of a file of measurements, which is named and left out.
    found, damaged = measurements.read_all(tmp_path)
    assert damaged == ([] if damage == "a list" else [str(tmp_path / "it.json")]) and found == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_written_is_read_again(tmp_path, name):
    kind, made = DOCUMENTS[name]
    first = documents.check(made(), kind, "here", DataError)
    documents.write(tmp_path / "it.json", first)
    assert documents.read(tmp_path / "it.json", kind, DataError) == first


def test_names_of_any_bytes_and_what_a_newer_version_adds_are_read(tmp_path):
    _, made = DOCUMENTS["config"]
    config = {**made(), "new": [{"a": 1}]}
    config["data"] |= {"name": "folder:caf\udce9", "more": True}
    config["data"]["labels"][0] = "caf\udce9"
    read = _read(tmp_path, documents.Training, config)
    documents.write(tmp_path / "again.json", read)
    assert documents.read(tmp_path / "again.json", documents.Training, RunError).data.labels[0] == "caf\udce9"


TOML = {
    b"epochs = [" + b"[" * 20_000: "nested too deep",
    b"epochs = " + b"9" * 5_000: "Exceeds the limit",
    b"epochs = " + b"9" * 400: "epochs = a number of more than 20 digits must be at most 1,000,000",
    b"epochs = 0": "epochs = 0 must be above 0",
    b"epochs = 3.5": "epochs = 3.5 is not of type int",
    b'epochs = "3"': "epochs = '3' is not of type int",
    b"learning_rate = inf": "learning_rate = Infinity is not finite",
    b"learning_rate = 1e300": "learning_rate = 1e+300 must be at most",
    b"ema = nan": "ema = NaN is not finite",
    b"batch_size = 10000000000": "batch_size = 10000000000 must be at most",
    b'optimizer = "adams"': "did you mean adam",
    b'init_from = "' + b"x" * 5_000 + b'"': "init_from has 5,000 letters, expected at most 1,000",
    b'teacher = "a\\u0000b"': "teacher = 'a\\x00b' has a character 0",
    b"a." * 30_000 + b"b = 1": "nested too deep",
    b"#" * 70_000: "larger than 64 KB",
    b'teacher = "\xff"': "not UTF-8",
    b"epochs": "not TOML",
}


@pytest.mark.parametrize("content", TOML, ids=lambda content: content[:24])
def test_a_damaged_recipe_is_told_with_file_and_key(tmp_path, content):
    (tmp_path / "r.toml").write_bytes(content)
    with pytest.raises(FtbnnError) as told:
        recipe.read(tmp_path / "r.toml")
    assert isinstance(told.value, ConfigError | UnknownNameError)
    assert str(tmp_path / "r.toml") in str(told.value) and TOML[content] in str(told.value)


def test_the_description_of_weights_is_checked_before_it_is_read(tmp_path):
    whole = json.dumps(_described()).encode()
    for content, words in (
        (whole.replace(b'"classes": 10', b'"classes": "10"'), "model.classes: expected int, not"),
        (b"[" * 100_000, "nested too deep"),
        (bytes(MOST_BYTES + 1), "its description has 16,777,217 bytes"),
        (None, "no item named"),
    ):
        arrays = {} if content is None else {"description": np.frombuffer(content, np.uint8)}
        np.savez_compressed(tmp_path / "w.npz", other=np.zeros(1), **arrays)
        with pytest.raises(FtbnnError) as told:
            read_description(tmp_path / "w.npz")
        assert words in str(told.value) and str(tmp_path / "w.npz") in str(told.value)


def test_long_words_and_pipes_are_told_shortly(tmp_path):
    (tmp_path / "r.toml").write_text(f'schedule = "{"x" * 60_000}"')
    with pytest.raises(UnknownNameError) as told:
        recipe.read(tmp_path / "r.toml")
    assert len(str(told.value)) < 2_000
    assert len(str(DataError("; ".join(["damaged.png"] * 10_000)))) < 2_500
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(OSError, match=r"pipe\.json"):
        documents.read(tmp_path / "pipe.json", documents.Result, RunError)
