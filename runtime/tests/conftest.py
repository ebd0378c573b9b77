"""What the tests share. They run the runtime of this checkout, on each interpreter that is installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

RUNTIME = Path(__file__).resolve().parents[1]
WEIGHTS = RUNTIME.parent / "zoo" / "weights"
sys.path.insert(0, str(RUNTIME))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if importlib.util.find_spec("ftbnn_larq"):
    import ftbnn_larq  # noqa: F401 (it asks for Keras 2, before any test imports TensorFlow)

from ftbnn_runtime.interpreters import installed  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: what builds libraries")


@pytest.fixture(scope="session", params=installed())
def package(request) -> str:
    """An interpreter that is installed."""
    return request.param


@pytest.fixture(scope="session")
def published() -> Path:
    """A flatbuffer of the zoo, with its JSON file: CIFAR-10, 32x32, 10 classes."""
    path = WEIGHTS / "ftbnn_r18_pure-cifar10.tflite"
    if not path.is_file():
        pytest.skip(f"{path}: the networks of ftbnn-larq are not here")
    return path


@pytest.fixture
def network(published, tmp_path) -> Path:
    """A copy of it that a test may damage."""
    for suffix in (".tflite", ".json"):
        shutil.copy(published.with_suffix(suffix), tmp_path / f"model{suffix}")
    return tmp_path / "model.tflite"


@pytest.fixture
def photo(tmp_path) -> Path:
    """A smooth colored picture of 90x120."""
    from PIL import Image

    path = tmp_path / "photo.png"
    Image.fromarray(colors(90, 120)).save(path)
    return path


def colors(height: int, width: int, seed: int = 0):
    """A picture with coarse and fine structure, uint8 (h, w, 3)."""
    import numpy as np

    random = np.random.default_rng(seed)
    down, right = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    phases, steps = random.uniform(0, 6, (2, 3)), random.uniform(1, 9, (2, 3))
    waves = np.sin(down * steps[0] / height + phases[0]) + np.sin(right * steps[1] / width + phases[1])
    return np.clip(128 + 50 * waves + random.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)
