"""A flatbuffer and the JSON beside it belong together."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil

import pytest

from ftbnn_larq.benchmarking.models import read_model
from ftbnn_larq.errors import ModelFileError
from ftbnn_larq.files import sha256
from ftbnn_larq.inference import sidecar
from ftbnn_larq.inference.interpreter import Interpreter
from tests.boards.helpers import PLAIN


@pytest.fixture
def flatbuffer(tmp_path):
    """A copy of a flatbuffer, with JSON that knows its checksum."""
    shutil.copy(PLAIN, tmp_path / "model.tflite")
    document = json.loads(PLAIN.with_suffix(".json").read_text())
    document["sha256"] = sha256(PLAIN)
    (tmp_path / "model.json").write_text(json.dumps(document))
    return tmp_path / "model.tflite"


def test_a_json_of_another_flatbuffer_is_refused_with_the_way_out(flatbuffer, refused):
    assert sidecar.data_config_beside(flatbuffer).name == "digits"
    assert sidecar.gives_probabilities(flatbuffer) is False
    flatbuffer.write_bytes(flatbuffer.read_bytes() + b"\0")
    for read in (sidecar.read, sidecar.data_config_beside, sidecar.gives_probabilities):
        with pytest.raises(ModelFileError, match=r"model\.json is of another flatbuffer than model\.tflite.*together"):
            read(flatbuffer)
    assert "convert the network again" in refused("evaluate", flatbuffer)


def test_a_json_that_does_not_know_its_flatbuffer_is_read(flatbuffer):
    document = json.loads(flatbuffer.with_suffix(".json").read_text())
    del document["sha256"], document["output"]
    flatbuffer.with_suffix(".json").write_text(json.dumps(document))
    config = sidecar.data_config_beside(flatbuffer)
    assert dataclasses.asdict(config) == {
        # Older files do not say these.
        "fold": None,
        "fingerprint": None,
        **document["data"],
        **{key: tuple(document["data"][key]) for key in ("input_shape", "labels", "mean", "std")},
    }
    assert sidecar.gives_probabilities(flatbuffer) is False


def test_a_damaged_json_is_one_line(flatbuffer, refused):
    document = json.loads(flatbuffer.with_suffix(".json").read_text())
    document["data"]["labels"] = "cat"
    flatbuffer.with_suffix(".json").write_text(json.dumps(document))
    said = refused("evaluate", flatbuffer)
    assert 'model.json: damaged: data.labels: expected array, not "cat"' in said


def test_a_damaged_flatbuffer_without_a_json_is_refused(flatbuffer):
    flatbuffer.with_suffix(".json").unlink()
    whole = flatbuffer.read_bytes()
    assert sidecar.gives_probabilities(flatbuffer) is False
    for content in (b"", whole[:8], whole[:40], b"\xff" * 100):
        flatbuffer.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"model\.tflite: damaged flatbuffer"):
            sidecar.gives_probabilities(flatbuffer)


def test_a_flatbuffer_of_hundreds_of_gigabytes_is_refused_unread(flatbuffer):
    # No byte of it is written.
    os.truncate(flatbuffer, 3 * 10**11)
    with pytest.raises(ModelFileError, match=r"model\.json is of another flatbuffer"):
        sidecar.gives_probabilities(flatbuffer)
    flatbuffer.with_suffix(".json").unlink()
    for read in (sidecar.gives_probabilities, read_model, Interpreter):
        with pytest.raises(ModelFileError, match=r"model\.tflite: .*300\.0 GB: flatbuffers have at most 2\.1 GB"):
            read(flatbuffer)
