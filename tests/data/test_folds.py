"""Cross-validation's folds: every picture is tested once, with its share of each class, and never trained on."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ftbnn_larq import data
from ftbnn_larq.data import pipeline
from ftbnn_larq.errors import DataError
from tests.test_bad_input import picture_folder

PARTS = ("train", "validation", "test")


def numbered(root, first=0, **counts):
    """Class folders with that many pictures, each with a tone of its own: its file's name."""
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for tone in range(first, first + count):
            Image.new("RGB", (8, 8), (tone, tone, tone)).save(root / label / f"{tone}.png")
        first += count
    return first


def tones(split, config):
    """The tone of each picture and its label, in order."""
    return [(int(picture[0, 0, 0]), config.labels[label]) for picture, label in pipeline.pictures(split, config)]


def test_every_picture_is_tested_once_and_never_by_a_network_that_was_trained_on_it(tmp_path):
    assert numbered(tmp_path, cat=30, dog=12) == 42
    tested, trained = [], []
    for number in (1, 2, 3, 4):
        loaded = data.load(f"folder:{tmp_path}", fold=(number, 4))
        config = loaded.config
        assert config.fold == (number, 4)
        parts = {name: tones(getattr(loaded, name), config) for name in PARTS}
        assert sorted(tone for found in parts.values() for tone, _ in found) == list(range(42))
        for name, found in parts.items():
            split = getattr(loaded, name)
            assert len(found) == split.examples
            assert [f"{label}/{tone}.png" for tone, label in found] == list(split.names)
            assert {label for _, label in found} == {"cat", "dog"}
        assert sum(label == "dog" for _, label in parts["test"]) == 3
        # What a run stores gives the same pictures again.
        again = data.load(f"folder:{tmp_path}", config=config)
        assert again.config == config
        assert {name: tones(getattr(again, name), config) for name in PARTS} == parts
        tested += parts["test"]
        trained.append(parts["train"])
        assert config.mean[0] == pytest.approx(np.mean([tone for tone, _ in parts["train"]]) / 255, abs=1e-5)
    assert len(tested) == len({*tested}) == 42
    assert len({tuple(each) for each in trained}) == 4


def test_a_folder_that_was_moved_has_the_same_folds(tmp_path):
    numbered(tmp_path / "pets", cat=10, dog=10)
    loaded = data.load(f"folder:{tmp_path / 'pets'}", fold=(2, 5))
    moved = (tmp_path / "pets").rename(tmp_path / "elsewhere")
    again = data.load(f"folder:{moved}", config=loaded.config)
    assert again.config.fold == (2, 5) and again.test.names == loaded.test.names and not again.notes
    # Another data set has no folds.
    numbered(tmp_path / "others", 20, cat=10, dog=10)
    other = data.load(f"folder:{tmp_path / 'others'}", config=loaded.config)
    assert other.config.fold is None and other.test.examples == 4


def test_a_test_split_of_the_data_sets_own_stays_out(tmp_path):
    first = numbered(tmp_path / "train", cat=10, dog=10)
    numbered(tmp_path / "test", first, cat=3, dog=3)
    loaded = data.load(f"folder:{tmp_path}", fold=(2, 5))
    found = [tone for name in PARTS for tone, _ in tones(getattr(loaded, name), loaded.config)]
    assert sorted(found) == list(range(20))
    assert any("folds are of 20 pictures" in note and "stays out" in note for note in loaded.notes)


def test_too_few_pictures_for_the_folds_are_told(tmp_path):
    with pytest.raises(DataError, match="class 'dog' has 4 pictures: 5 folds need at least 5"):
        data.load(picture_folder(tmp_path / "few", cat=9, dog=4), fold=(1, 5))
    with pytest.raises(DataError, match="class 'cat' has 3 pictures: 2 folds need at least 4"):
        data.load(picture_folder(tmp_path / "fewer", cat=3, dog=9), fold=(1, 2))
    for number in (1, 2):
        loaded = data.load(picture_folder(tmp_path / str(number), cat=4, dog=4), fold=(number, 2))
        assert [getattr(loaded, name).examples for name in PARTS] == [2, 2, 4]
