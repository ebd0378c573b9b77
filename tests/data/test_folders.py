"""Folders as archives, systems and tools leave them: the classes and splits that are found, and what is said."""

from __future__ import annotations

import dataclasses
import os
import shutil
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ftbnn_larq import data
from ftbnn_larq.data import index, pipeline
from ftbnn_larq.data.pictures import read_picture
from ftbnn_larq.errors import ConfigError, DataError
from ftbnn_larq.recipe import Recipe
from tests.conftest import run_without_tensorflow


def pictures(root, *folders, count=4, size=(16, 16)):
    """That many pictures, each another, in every folder below `root`."""
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = np.random.default_rng(abs(hash((folder, number)))).integers(0, 256, (*size, 3), np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number}.png")
    return root


def load(root):
    return data.load(f"folder:{root}")


def sizes(loaded):
    return loaded.train.examples, loaded.validation.examples, loaded.test.examples


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Training", None, "Testing"),
        ("TRAIN", "VALID", "TEST"),
        ("seg_train/seg_train", None, "seg_test/seg_test"),
        ("training_set", "dev_set", "test_set"),
        ("trainset", None, "testset"),
        ("TrainingData", "ValidationData", "TestData"),
        ("images-train-2017", "images-val-2017", "images-test-2017"),
        ("archive/data/train", "archive/data/validation", "archive/data/test"),
        ("1. train", None, "2. holdout"),
    ],
)
def test_splits_are_known_by_the_names_that_people_give_them(tmp_path, train, validation, test):
    counts = {train: 6, validation: 3, test: 5}
    for folder, count in counts.items():
        if folder:
            pictures(tmp_path, f"{folder}/cat", f"{folder}/dog", count=count)
    loaded = load(tmp_path)
    assert loaded.config.labels == ("cat", "dog")
    assert sizes(loaded) == ((12, 6, 10) if validation else (10, 2, 10))


def test_splits_may_stand_in_the_class_folders(tmp_path):
    pictures(tmp_path, "cat/train", "dog/train", count=6)
    pictures(tmp_path, "cat/test", "dog/test", count=3)
    loaded = load(tmp_path)
    assert loaded.config.labels == ("cat", "dog") and sizes(loaded) == (10, 2, 6)


def test_splits_in_some_class_folders_only_are_refused(tmp_path):
    pictures(tmp_path, "cat/train", "dog/train", "cat/test", "dog/test", "bird")
    with pytest.raises(DataError, match=r"cat has folders for training and test in it, .*bird has not: give every"):
        data.check_name(f"folder:{tmp_path}")


def test_accents_are_the_same_letters_however_they_are_written(tmp_path):
    """macOS writes them behind their letters."""
    written = {form: unicodedata.normalize(form, "Zürich") for form in ("NFC", "NFD")}
    pictures(tmp_path, f"train/{written['NFC']}", f"test/{written['NFD']}", "train/Bern", "test/Bern")
    loaded = load(tmp_path)
    assert loaded.config.labels == ("Bern", written["NFC"])
    older = dataclasses.replace(loaded.config, labels=("Bern", written["NFD"]))
    assert data.load(f"folder:{tmp_path}", config=older).config.labels == older.labels


def test_a_folder_of_test_pictures_alone_is_taken_whole_for_evaluation(tmp_path):
    trained_on = load(pictures(tmp_path / "pets", "cat", "dog", count=10))
    new = f"folder:{pictures(tmp_path / 'new', 'test/cat', 'test/dog', count=2)}"
    loaded = data.load(new, config=trained_on.config)
    assert loaded.test.examples == 4
    with pytest.raises(DataError, match="at least 3 are needed"):
        data.load(new)
    # Of a folder that was trained on, only what it was not trained on.
    whole = load(pictures(tmp_path / "test", "cat", "dog", count=10))
    moved = (tmp_path / "test").rename(tmp_path / "holdout")
    assert sizes(data.load(f"folder:{moved}", config=whole.config)) == sizes(whole) == (14, 2, 4)


def test_classes_may_have_the_names_of_splits(tmp_path):
    assert load(pictures(tmp_path / "a", "train", "tram")).config.labels == ("train", "tram")
    assert load(pictures(tmp_path / "b", "test_positive", "test_negative")).config.labels[0] == "test_negative"
    # A folder of its own in each class makes no splits of them.
    assert load(pictures(tmp_path / "c", "cat/images", "dog/images")).config.labels == ("cat", "dog")


@pytest.mark.parametrize("parts", [("part1", "part2"), ("test", "validation"), ("fold_a", "fold_b", "fold_c")])
def test_folders_that_may_be_splits_or_classes_are_refused(tmp_path, parts):
    pictures(tmp_path, *(f"{part}/{label}" for part in parts for label in ("cat", "dog")))
    with pytest.raises(DataError, match=r"all have the folders cat, dog in them: are they splits or classes\?"):
        load(tmp_path)


def test_two_folders_of_one_split_are_refused(tmp_path):
    pictures(tmp_path, *(f"{part}/{label}" for part in ("train", "training") for label in ("cat", "dog")))
    with pytest.raises(DataError, match=r"training stands beside .*train"):
        data.check_name(f"folder:{tmp_path}")


def test_pictures_without_a_class_are_left_out_and_counted(tmp_path):
    """As Kaggle's test pictures are."""
    pictures(tmp_path, "train/cat", "train/dog", count=10)
    pictures(tmp_path, "test", "seg_pred/seg_pred", ".", count=3)
    loaded = load(tmp_path)
    assert loaded.config.labels == ("cat", "dog") and sizes(loaded) == (14, 2, 4)
    (note,) = loaded.notes
    assert "9 pictures in no class folder" in note


def test_what_systems_and_tools_leave_is_left_out_and_counted(tmp_path):
    pictures(tmp_path, "cat", "dog", count=6)
    for label in ("cat", "dog"):
        (tmp_path / label / "._0.png").write_bytes(b"\0\5\x16\7" + bytes(60))
        (tmp_path / label / "Thumbs.db").write_bytes(b"no picture")
        (tmp_path / label / "0.png~").write_bytes(b"no picture")
        shutil.copytree(tmp_path / label, tmp_path / "__MACOSX" / label)
        shutil.copytree(tmp_path / label, tmp_path / label / ".ipynb_checkpoints")
        (tmp_path / label / "@eaDir").mkdir()
    loaded = load(tmp_path)
    assert loaded.config.labels == ("cat", "dog") and sizes(loaded) == (8, 2, 2)
    # In each class 3, a copy of 9 and another of 9.
    assert loaded.notes == (f"left out of {tmp_path}: 42 hidden files",)


def test_whatever_pillow_reads_is_a_picture_and_the_rest_is_counted(tmp_path):
    pictures(tmp_path, "cat", "dog", count=12)
    kinds = (".jfif", ".JPG", ".webp", ".bmp", ".tga", ".jp2", ".avif", ".pgm", "")
    for number, suffix in enumerate(kinds):
        path = tmp_path / "cat" / f"{number}.png"
        picture = Image.open(path)
        form = {".jfif": "JPEG", ".JPG": "JPEG", ".jp2": "JPEG2000", "": "PNG", ".pgm": "PPM"}.get(suffix)
        picture.save(path.with_suffix(suffix), form or suffix[1:])
        path.unlink()
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "cat" / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "labels.csv").write_text("x")
    loaded = load(tmp_path)
    assert sum(sizes(loaded)) == 24
    (note,) = loaded.notes
    assert "3 files that Pillow does not read" in note and all(
        f"1 {kind}" in note for kind in (".heic", ".txt", ".csv")
    )


def test_a_pillow_without_avif_reads_all_others(tmp_path, monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    loaded = load(pictures(tmp_path, "cat", "dog"))
    assert sum(sizes(loaded)) == 8


def test_pictures_of_the_same_bytes_in_two_splits_are_told(tmp_path):
    pictures(tmp_path, "train/cat", "train/dog", count=12)
    pictures(tmp_path, "test/cat", "test/dog", count=3)
    shutil.copy(tmp_path / "train/cat/5.png", tmp_path / "test/cat/copy.png")
    (note,) = load(tmp_path).notes
    assert "1 picture of the test split has the bytes of training pictures" in note
    assert "test/cat/copy.png is" in note and "train/cat/5.png" in note


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_pictures_are_turned_as_exif_says(tmp_path, suffix):
    """The size of the network's input, too: 48 wide and 64 high."""
    pictures(tmp_path, "cat", "dog", size=(48, 64))
    for orientation, path in enumerate(sorted(tmp_path.rglob("*.png"))):
        picture = Image.open(path)
        exif = picture.getexif()
        exif[0x0112] = 5 + orientation % 4
        picture.save(path.with_suffix(suffix), exif=exif, quality=95)
        path.unlink()
    loaded = load(tmp_path)
    assert loaded.config.input_shape == (64, 48, 3)
    seen = {bytes(picture) for picture, _ in pipeline.pictures(loaded.train, loaded.config).as_numpy_iterator()}
    assert seen < {read_picture(path).tobytes() for path in tmp_path.rglob(f"*{suffix}")}


def test_a_path_is_bytes(tmp_path):
    pictures(tmp_path, "cat", "dog")
    os.rename(os.fsencode(tmp_path / "cat"), os.fsencode(tmp_path) + b"/caf\xe9")
    os.rename(os.fsencode(tmp_path) + b"/caf\xe9/0.png", os.fsencode(tmp_path) + b"/caf\xe9/\xe9.png")
    loaded = load(tmp_path)
    assert loaded.config.labels == ("café", "dog")
    assert sum(len(list(pipeline.pictures(split, loaded.config))) for split in (loaded.train, loaded.test)) == 6


def test_what_kept_a_picture_from_being_read_may_have_passed(tmp_path, monkeypatch):
    pictures(tmp_path, "cat", "dog")

    def fails(*arguments, **options):
        raise DataError("cat/0.png: cannot be read (Input/output error)")

    with monkeypatch.context() as patch:
        patch.setattr(index, "look", fails)
        with pytest.raises(DataError, match="Input/output"):
            load(tmp_path)
    assert sum(sizes(load(tmp_path))) == 8


def test_links_are_followed_but_not_in_a_ring(tmp_path):
    pictures(tmp_path, "pets/dog", "store/cat")
    (tmp_path / "pets/cat").mkdir()
    os.symlink(tmp_path / "store/cat", tmp_path / "pets/cat/more")
    os.symlink(tmp_path / "store/cat/0.png", tmp_path / "pets/cat/a.png")
    loaded = load(tmp_path / "pets")
    assert sum(sizes(loaded)) == 9
    os.symlink(tmp_path / "pets", tmp_path / "pets/cat/ring")
    with pytest.raises(DataError, match="ring is a link to a folder that it lies in"):
        data.check_name(f"folder:{tmp_path / 'pets'}")
    (tmp_path / "pets/cat/ring").unlink()
    os.symlink(tmp_path / "nowhere", tmp_path / "pets/cat/lost.png")
    with pytest.raises(DataError, match=r"lost\.png: a link to nowhere"):
        load(tmp_path / "pets")


def test_all_damaged_pictures_are_named_at_once(tmp_path):
    pictures(tmp_path, "cat", "dog")
    Image.open(tmp_path / "cat/3.png").save(tmp_path / "cat/3.jpg")
    victims = [tmp_path / "cat/2.png", tmp_path / "cat/3.jpg", tmp_path / "dog/0.png"]
    for victim in victims:
        victim.write_bytes(victim.read_bytes()[:-60])
    with pytest.raises(DataError) as refused:
        load(tmp_path)
    assert all(str(victim) in str(refused.value) for victim in victims)
    # Once mended they are read again.
    for victim in victims:
        Image.new("RGB", (16, 16)).save(victim)
    assert sum(sizes(load(tmp_path))) == 9


def test_pictures_are_checked_once(tmp_path, monkeypatch):
    pictures(tmp_path, "cat", "dog")
    read = []
    looked = index._read
    monkeypatch.setattr(index, "_read", lambda file: read.append(file) or looked(file))
    load(tmp_path)
    assert len(read) == 8
    load(tmp_path)
    assert len(read) == 8
    Image.new("RGB", (16, 16)).save(tmp_path / "cat/new.png")
    os.utime(tmp_path / "cat/0.png", (1, 1))
    load(tmp_path)
    assert [os.path.basename(file.path) for file in read[8:]] == ["0.png", "new.png"]
    # A damaged index is made anew.
    monkeypatch.setattr(index, "_index", lambda root: tmp_path / "index.json")
    for content in ("{", '{"format": 1, "root": 3, "files": [1]}', "null", "[" * 100):
        (tmp_path / "index.json").write_text(content)
        assert sum(sizes(load(tmp_path))) == 9


@pytest.mark.parametrize("others", ["png", "jpg"])
def test_small_pictures_are_read_once(tmp_path, others):
    """What comes in the second epoch is the same as if the files were still there."""
    pictures(tmp_path, "cat", "dog", count=9, size=(12, 16))
    for path in sorted((tmp_path / "dog").glob("*.png")):
        Image.open(path).save(path.with_suffix(f".{others}"))
        if others != "png":
            path.unlink()
    how = Recipe(epochs=2, batch_size=4)

    def epochs():
        split, config = load(tmp_path).train, load(tmp_path).config
        return pipeline.training_batches(split, config, how, seed=1).as_numpy_iterator(), split.examples // 4

    every, steps = epochs()
    expected = list(every)
    again, _ = epochs()
    found = [next(again) for _ in range(steps)]
    for path in (tmp_path / "cat", tmp_path / "dog"):
        shutil.rmtree(path)
    found += again
    assert len(found) == len(expected) == 2 * steps
    for batch, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(batch[0], other[0])
        np.testing.assert_array_equal(batch[1], other[1])


def test_what_tensorflow_cannot_read_is_copied_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pets = pictures(tmp_path / "pets", "cat", "dog", count=3)
    expected = set()
    for number, path in enumerate(sorted(pets.rglob("*.png"))):
        picture = Image.open(path)
        path.unlink()
        match number:
            case 0:
                picture.save(path.with_suffix(".tiff"))
            case 1:
                picture.convert("CMYK").save(path.with_suffix(".jpg"), quality=95)
            case 2:
                Image.fromarray(np.asarray(picture.convert("L"), np.uint16) << 8).save(path)
            case 3:
                picture.quantize(8).save(path, transparency=0)
            case 4:
                exif = picture.getexif()
                exif[0x0112] = 6
                picture.save(path.with_suffix(".webp"), exif=exif, lossless=True)
            case 5:
                picture.convert("1").save(path)
        (written,) = path.parent.glob(f"{path.stem}.*")
        expected.add(read_picture(written).tobytes())
    for _ in range(2):
        loaded = load(pets)
        splits = (loaded.train, loaded.validation, loaded.test)
        found = [pipeline.pictures(split, loaded.config).as_numpy_iterator() for split in splits]
        assert {picture.tobytes() for each in found for picture, _ in each} == expected
        copies = sorted((tmp_path / "cache").rglob("*.png"))
        assert len(copies) == 6
        copies[0].unlink()


def test_a_cache_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    pets = pictures(tmp_path / "pets", "cat", "dog", count=3)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert sum(sizes(load(pets))) == 6
    Image.open(pets / "cat/0.png").save(pets / "cat/0.tiff")
    with pytest.raises(ConfigError, match=r"0\.tiff itself: set XDG_CACHE_HOME"):
        load(pets)


def test_folders_are_refused_without_tensorflow(tmp_path):
    pictures(tmp_path, *(f"{part}/{label}" for part in ("a", "b") for label in ("cat", "dog")))
    (told,) = run_without_tensorflow(("train", "ftbnn_r18", "--dataset", f"folder:{tmp_path}"), cwd=tmp_path)
    assert told[0] == 2 if isinstance(told, tuple) else told.status == 2


@pytest.mark.parametrize("channels", [1, 3])
def test_folders_have_the_channels_of_the_network(tmp_path, channels):
    loaded = data.load(f"folder:{pictures(tmp_path, 'cat', 'dog')}", channels=channels, input_size=(8, 24))
    (batch, _) = next(iter(pipeline.batches(loaded.test, loaded.config, 2)))
    assert batch.shape == (2, 8, 24, channels)
    assert isinstance(batch, tf.Tensor)
