"""Weights of one network in every file that Keras writes, by whatever name."""

from __future__ import annotations

import shutil
import zipfile

import ftbnn_larq  # isort: skip (before TensorFlow)
import numpy as np
import pytest

from ftbnn_larq.documents import DataConfig, Network, Training
from ftbnn_larq.errors import ModelFileError
from ftbnn_larq.models.weights import load_weights, save_compact

SMALL = {"input_shape": (8, 8, 1), "num_classes": 4, "units": (1,), "width": 16}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A network, and its weights as every kind of file."""
    folder = tmp_path_factory.mktemp("weights")
    model = ftbnn_larq.create_model("ftbnn_r18_pure", **SMALL)
    random = np.random.default_rng(0)
    # Signs of one size, which our compact form keeps as they are.
    model.set_weights([random.choice([-0.5, 0.5], weight.shape) for weight in model.get_weights()])
    for name in ("new.weights.h5", "old.h5"):
        model.save_weights(folder / name)
    for name in ("whole.keras", "whole.h5"):
        model.save(folder / name)
    network = Network("ftbnn_r18_pure", {}, SMALL["input_shape"], SMALL["num_classes"])
    data = DataConfig("shades", network.input_shape, tuple("abcd"))
    save_compact(model, folder / "compact.npz", Training(network, data))
    return model, folder


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("new.weights.h5", "W.WEIGHTS.H5"),
        ("new.weights.h5", "w.hdf5"),
        ("old.h5", "w.h5"),
        ("old.h5", "w.weights.h5"),
        ("whole.h5", "w.hdf5"),
        ("whole.keras", "w.KERAS"),
        ("compact.npz", "W.NPZ"),
    ],
)
def test_the_content_of_a_file_decides_how_it_is_read(tmp_path, written, kind, name):
    model, folder = written
    shutil.copy(folder / kind, tmp_path / name)
    again = ftbnn_larq.create_model("ftbnn_r18_pure", **SMALL)
    load_weights(again, tmp_path / name)
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"shape": "(1000000000, 1000000000)"}, r"is \(1000000000, 1000000000\) there"),
        ({"shape": "(1, 1, 1, 1)"}, r"is \(1, 1, 1, 1\) there"),
        ({"descr": "'|O'"}, "holds object"),
        ({"descr": "'<U100000000'"}, "holds <U100000000"),
        ({"shape": "(8, 8"}, "damaged"),
        (None, "damaged"),
    ],
)
def test_arrays_are_compared_before_they_are_read(tmp_path, written, damage, words):
    """An .npz file of a few KB may say that it holds any number of weights."""
    model, folder = written
    with zipfile.ZipFile(folder / "compact.npz") as old, zipfile.ZipFile(tmp_path / "w.npz", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "stem_conv/0.npy":
                content = _damaged(content, damage)
            new.writestr(name, content)
    with pytest.raises(ModelFileError, match=words) as told:
        load_weights(model, tmp_path / "w.npz")
    assert str(tmp_path / "w.npz") in str(told.value)


def _damaged(content: bytes, damage: dict | None) -> bytes:
    """An array's file with another header."""
    if damage is None:
        return b"none"
    own = {"descr": "'<f4'", "fortran_order": "False", "shape": "(3, 3, 1, 8)", **damage}
    header = "{" + ", ".join(f"'{key}': {value}" for key, value in own.items()) + ", }"
    return content[:8] + len(header).to_bytes(2, "little") + header.encode() + content[128:]


@pytest.mark.parametrize("kind", ["new.weights.h5", "old.h5", "whole.keras"])
def test_weights_of_another_network_and_damaged_ones_are_refused(tmp_path, written, kind):
    _, folder = written
    with pytest.raises(ModelFileError, match="not the weights of this ftbnn_r18_pure"):
        ftbnn_larq.create_model("ftbnn_r18_pure", weights=folder / kind, **{**SMALL, "units": (2,)})
    cut = tmp_path / kind
    cut.write_bytes((folder / kind).read_bytes()[:3000])
    with pytest.raises(ModelFileError, match="damaged"):
        ftbnn_larq.create_model("ftbnn_r18_pure", weights=cut, **SMALL)
