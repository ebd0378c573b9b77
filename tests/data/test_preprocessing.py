"""Preprocessing by name: what each makes of pixels, and names and numbers that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from ftbnn_larq.data import pipeline
from ftbnn_larq.data.formats import DataConfig
from ftbnn_larq.data.preprocessing import KNOWN, parse
from ftbnn_larq.errors import ConfigError, UnknownNameError

PIXELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
CONFIG = DataConfig("mine", (16, 16, 3), ("a", "b"), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def seen(name: str, config: DataConfig = CONFIG) -> np.ndarray:
    return pipeline.normalise(PIXELS, parse(name).of(config)).numpy()


def test_pixels_become_what_each_name_says():
    exact = PIXELS.astype(np.float64)
    np.testing.assert_array_equal(seen("raw"), exact)
    np.testing.assert_array_equal(seen("unit"), PIXELS / np.float32(255))
    np.testing.assert_allclose(seen("symmetric"), exact / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(seen("standard"), (exact / 255 - CONFIG.mean) / CONFIG.std, atol=1e-6)
    np.testing.assert_allclose(seen("standard:0.5/0.25"), (exact / 255 - 0.5) / 0.25, atol=1e-6)
    np.testing.assert_allclose(seen("standard:0.1,0.2,0.3/0.5"), (exact / 255 - [0.1, 0.2, 0.3]) / 0.5, atol=1e-6)


@pytest.mark.slow
def test_larq_zoos_is_that_of_larq_zoo():
    from larq_zoo.training import data

    theirs = data._normalize(PIXELS.astype(np.float32), data.MEAN_RGB, data.STDDEV_RGB)
    np.testing.assert_allclose(seen("larq_zoo"), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("symetric", UnknownNameError, "symmetric"),
        ("unit:0.5/0.5", ConfigError, "only standard takes numbers"),
        ("standard:0.5", ConfigError, "write standard:MEAN/STD"),
        ("standard:a/b", ConfigError, "write standard:MEAN/STD"),
        ("standard:0.5/0", ConfigError, "deviations above 0"),
        ("standard:123.7/58.4", ConfigError, "divide numbers of pixels from 0 to 255 by 255"),
        ("standard:nan/1", ConfigError, "pixels from 0 to 1"),
        (
            "standard:0.4,0.5/0.2",
            ConfigError,
            "2 means and 1 deviations, but the network takes pictures with 3 channels",
        ),
    ],
)
def test_names_and_numbers_that_cannot_be_used(name, error, words):
    with pytest.raises(error, match=words):
        seen(name)


def test_larq_zoos_is_for_color():
    assert [name for name, each in KNOWN.items() if not each.fits(1)] == ["larq_zoo"]
