"""Data: splits that never mix, random choices that a resumed run makes again, TFDS by name."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ftbnn_larq import data
from ftbnn_larq.data import augmentation, decoding, pipeline
from ftbnn_larq.data.pictures import check_picture, read_picture
from ftbnn_larq.errors import DataError
from ftbnn_larq.inference.evaluation import evaluate
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.training import loop
from tests.data import tfds_files
from tests.test_bad_input import picture_folder


def _epochs(loaded, first, last, seed=3):
    return [
        (pictures.numpy(), labels.numpy())
        for pictures, labels in pipeline.training_batches(
            loaded.train, loaded.config, Recipe(batch_size=64, epochs=last), seed=seed, first_epoch=first
        )
    ]


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_splits_of_digits_never_mix(digits):
    # Scans may repeat; rows may not: every one of the 1,797 is in exactly one split.
    assert digits.train.examples + digits.validation.examples + digits.test.examples == 1797
    from sklearn.datasets import load_digits

    everything = np.round(load_digits().images * (255 / 16)).astype(np.uint8).reshape(1797, -1)
    parts = [
        np.stack([picture.ravel() for picture, _ in split.rows.as_numpy_iterator()])
        for split in (digits.train, digits.validation, digits.test)
    ]
    joined = np.concatenate(parts)
    assert sorted(map(bytes, joined)) == sorted(map(bytes, everything))


def test_pictures_come_normalised_as_the_configuration_says(digits):
    pictures = np.concatenate([p for p, _ in pipeline.batches(digits.train, digits.config, 512).as_numpy_iterator()])
    # Measured on the first thousand.
    assert pictures[:1000].mean() == pytest.approx(0, abs=1e-3)
    assert pictures[:1000].std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("some", [360, 359, 256, 100, 7, 1])
def test_a_part_of_a_split_is_taken_evenly(digits, some):
    """A split may be sorted by class: its beginning would not do."""
    part = pipeline.spread(data.Split(360, tf.data.Dataset.range(360)), some)
    places = list(part.rows.as_numpy_iterator())
    assert part.examples == len(places) == some and places[0] == 0
    assert set(np.diff([*places, 360])) <= {360 // some, 360 // some + 1}
    assert pipeline.spread(digits.test, 400) == digits.test
    labels = [label for _, label in pipeline.pictures(pipeline.spread(digits.test, some), digits.config)]
    everything = [label for _, label in pipeline.pictures(digits.test, digits.config)]
    assert labels == [everything[place] for place in places]


def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(digits):
    whole, rest = _epochs(digits, 0, 3), _epochs(digits, 1, 3)
    for (one, labels), (other, others) in zip(whole[len(whole) // 3 :], rest, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(labels, others)


def test_a_global_seed_changes_nothing(digits):
    expected = _epochs(digits, 0, 1)
    for seed in (0, 5):
        tf.random.set_seed(seed)
        for ours, theirs in zip(_epochs(digits, 0, 1), expected, strict=True):
            np.testing.assert_array_equal(ours[1], theirs[1])


def test_seeds_and_epochs_differ(digits):
    steps = digits.train.examples // 64
    first, second = _epochs(digits, 0, 2)[0][0], _epochs(digits, 0, 2)[steps][0]
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, _epochs(digits, 0, 1, seed=4)[0][0])


def test_classes_are_told_by_their_names(tmp_path):
    """By those of a run, whatever the order here; a folder whose classes were changed since is refused."""
    name = picture_folder(tmp_path / "game", paper=10, rock=10, scissors=20)
    loaded = data.load(name)
    config = dataclasses.replace(loaded.config, labels=("rock", "paper", "scissors"))

    def numbers(loaded):
        return [loaded.config.labels[label] for _, label in pipeline.pictures(loaded.test, loaded.config)]

    assert numbers(data.load(name, config=config)) == numbers(loaded)
    picture_folder(tmp_path / "game", lizard=10)
    with pytest.raises(DataError, match=r"4 classes of .* are not the 3 classes .* 'lizard' is in one of the two only"):
        data.load(name, config=config)


def test_three_pictures_of_a_class_are_enough(tmp_path):
    loaded = data.load(picture_folder(tmp_path / "few", cat=3, dog=3))
    assert (loaded.train.examples, loaded.validation.examples, loaded.test.examples) == (2, 2, 2)
    with pytest.raises(DataError, match="class 'cow' has 2 pictures: at least 3"):
        data.load(picture_folder(tmp_path / "fewer", cow=2, cat=3))


def test_folders_of_splits_are_known_by_what_people_call_them(tmp_path):
    for part, count in (("Train", 6), ("valid", 3), ("test", 2)):
        picture_folder(tmp_path / "pets" / part, cat=count, dog=count)
    loaded = data.load(f"folder:{tmp_path / 'pets'}")
    assert loaded.config.labels == ("cat", "dog")
    assert (loaded.train.examples, loaded.validation.examples, loaded.test.examples) == (12, 6, 4)
    picture_folder(tmp_path / "pets" / "unlabelled", cat=3)
    with pytest.raises(DataError, match="unlabelled stands beside a folder of training pictures"):
        data.check_name(f"folder:{tmp_path / 'pets'}")
    # Without a folder of folders called train, it is a class as any other.
    assert data.load(picture_folder(tmp_path / "rails", train=3, tram=3)).config.labels == ("train", "tram")


def test_a_folder_is_not_read_class_by_class(tmp_path):
    """Its mean and its batches are those of all classes, however many pictures each has."""
    for label, value in (("dark", 10), ("light", 240)):
        (tmp_path / label).mkdir()
        for number in range(1500):
            Image.new("L", (8, 8), value).save(tmp_path / label / f"{number:04d}.png")
    loaded = data.load(f"folder:{tmp_path}")
    assert loaded.train.examples > 2 * pipeline.STATISTICS_SAMPLE
    assert loaded.config.mean[0] == pytest.approx(125 / 255, abs=0.05)
    assert loaded.config.std[0] == pytest.approx(115 / 255, abs=0.01)
    assert loaded.train.shuffle_buffer >= loaded.train.examples


@pytest.mark.parametrize("size", [8, 20])
def test_jitter_leaves_what_touches_the_border(size):
    """A shift of a tenth of a pixel darkens a line by a tenth, and does not take it away."""
    picture = tf.fill((size, size, 1), tf.constant(255, tf.uint8))
    seen = np.stack([augmentation.jitter(picture, (seed, 1)).numpy()[..., 0] for seed in range(200)])
    # Half a pixel and a tenth of the picture, at worst.
    reach = 0.5 + 0.05 * (size - 1)
    assert seen[:, 1:-1, 1:-1].min() >= 255 * min(1, 2 - reach) - 1
    border = np.concatenate([seen[:, 0, size // 2], seen[:, -1, size // 2], seen[:, size // 2, 0]])
    assert border.min() >= 255 * max(0, 1 - reach) - 1
    assert (border > 200).mean() > 0.6 and border.min() < 200


def test_changes_of_colour_change_parts_of_photographs(monkeypatch):
    colour = augmentation._CHANGES[8]
    monkeypatch.setattr(augmentation, "_CHANGES", (colour,))
    config = data.DataConfig("photographs", (16, 16, 3), ("a", "b"), crop="resized", flip=False)
    picture = tf.fill((32, 48, 3), tf.constant(0, tf.uint8)) + tf.constant([200, 0, 0], tf.uint8)
    rows = tf.data.Dataset.range(20).map(lambda seed: augmentation.augment(picture, config, (seed, 1), 1.0))
    assert len({tuple(changed[8, 8]) for changed in rows.as_numpy_iterator()}) > 10


def test_solarizing_by_nothing_changes_nothing():
    ramp = tf.reshape(tf.range(256), (16, 16, 1))
    ramp = tf.cast(ramp, tf.uint8)
    np.testing.assert_array_equal(augmentation._solarized(ramp, 0.0), ramp)
    np.testing.assert_array_equal(augmentation._solarized(ramp, 0.5), np.where(ramp < 128, ramp, 255 - ramp))


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Load a data set that TFDS first has to prepare, with these labels in its test split."""
    import tensorflow_datasets as tfds

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        test_labels = (0, 1)

        def _info(self):
            label = tfds.features.ClassLabel(names=["a", "b"])
            features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(8, 8, 3)), "label": label})
            return self.dataset_info_from_configs(features=features)

        def _split_generators(self, dl_manager):
            parts = {"train": (0, 1) * 10, "test": self.test_labels}
            return {name: self._generate_examples(labels) for name, labels in parts.items()}

        def _generate_examples(self, labels):
            for index, label in enumerate(labels):
                yield index, {"image": np.zeros((8, 8, 3), np.uint8), "label": label}

    def load(*test_labels):
        monkeypatch.setattr(Tiny, "test_labels", test_labels)
        return data.load("tiny", data_dir=str(tmp_path))

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Tiny(data_dir=data_dir))
    monkeypatch.setattr("ftbnn_larq.data.tfds._known_names", lambda: {"tiny"})
    return load


def test_what_tfds_tells_of_a_download_is_not_on_standard_output(tiny, capsys):
    assert tiny(0, 1).train.examples == 18
    assert capsys.readouterr().out == ""


def test_labels_that_were_not_made_public_are_refused(tiny):
    """TFDS has -1 in their place, as in the test splits of iNaturalist."""
    with pytest.raises(DataError, match="labels of its split 'test' are not public"):
        tiny(-1, -1)


def test_classes_count_alike_where_pictures_are_mixed_too():
    """Nine of ten are of one class; with weights, each class has half of the targets."""
    labels = np.repeat([0, 1], [576, 64])
    rows = tf.data.Dataset.from_tensor_slices((np.zeros((640, 8, 8, 1), np.uint8), labels))
    split = data.Split(640, rows)
    config = data.DataConfig("two", (8, 8, 1), ("many", "few"), mean=(0.0,), std=(1.0,), crop="none", flip=False)
    for keys in ({}, {"mixup": 1.0}, {"cutmix": 1.0}):
        how = Recipe(epochs=4, batch_size=64, class_weights="balanced", **keys)
        batches = pipeline.training_batches(split, config, how, seed=0)
        targets, weights = (np.concatenate(each) for each in list(zip(*batches.as_numpy_iterator(), strict=True))[1:])
        total = (weights[:, None] * targets).sum(axis=0)
        assert total[1] / total.sum() == pytest.approx(0.5, abs=0.05), keys
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
def test_grey_pictures_of_16_bits_keep_their_range_and_of_32_are_refused(tmp_path, suffix):
    ramp = np.arange(0, 1 << 16, 256, dtype=np.uint16).reshape(16, 16)
    path = tmp_path / f"ramp{suffix}"
    Image.fromarray(ramp).save(path)
    check_picture(path)
    np.testing.assert_array_equal(read_picture(path)[..., 0], ramp >> 8)
    np.testing.assert_array_equal(read_picture(path)[..., 2], ramp >> 8)
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "float.tiff")
    for read in (check_picture, read_picture):
        with pytest.raises(DataError, match=r"float\.tiff: its pixels have 32 bits"):
            read(tmp_path / "float.tiff")


def test_a_network_is_not_evaluated_on_other_classes(trained, tmp_path):
    name = picture_folder(tmp_path / "pets", **{f"pet{number}": 3 for number in range(10)})
    with pytest.raises(DataError, match=r"the 10 classes of .* are not the 10 classes"):
        evaluate(trained.run, dataset=name)
    digits = picture_folder(tmp_path / "digits", **{str(number): 3 for number in range(10)})
    # Its pictures have three channels, and the network takes one.
    assert evaluate(trained.flatbuffer, dataset=digits)["examples"] == 10


def test_channels_become_the_networks():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    colour = augmentation.with_channels(tf.constant(grey), 3)
    np.testing.assert_array_equal(colour, np.repeat(grey, 3, axis=-1))
    np.testing.assert_array_equal(augmentation.with_channels(colour, 1), grey)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    pillows = np.asarray(Image.fromarray(pixels).convert("L"), np.int32)
    assert np.abs(augmentation.with_channels(tf.constant(pixels), 1).numpy()[..., 0] - pillows).max() <= 1
    loaded = data.load("digits", input_size=(12, 20), channels=3)
    assert loaded.config.input_shape == (12, 20, 3) and len(loaded.config.mean) == 3
    picture, _ = next(iter(pipeline.batches(loaded.test, loaded.config, 4)))
    assert picture.shape == (4, 12, 20, 3)


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory):
    """TFDS files on disk, as TFDS prepares them, under the name of a data set that it knows: 60 pictures of 32x32."""
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("tfds")
    generator = np.random.default_rng(0)

    def examples(count):
        return [
            {"id": f"picture_{index}", "image": generator.integers(0, 256, (32, 32, 3), np.uint8), "label": index % 10}
            for index in range(count)
        ]

    builder = tfds.builder("cifar10", data_dir=folder)
    splits = {"train": examples(45), "test": examples(15)}
    tfds_files.write(folder, "cifar10", str(builder.version), builder.info.features, splits)
    return folder


def test_tfds_data_sets_load_by_name_and_folder(tfds_folder):
    loaded = data.load("cifar10", data_dir=str(tfds_folder))
    assert loaded.config.input_shape == (32, 32, 3)
    assert loaded.config.flip and loaded.config.crop == "pad"
    assert (loaded.train.examples, loaded.validation.examples, loaded.test.examples) == (40, 5, 15)
    pictures, labels = next(pipeline.batches(loaded.test, loaded.config, 15).as_numpy_iterator())
    assert pictures.shape == (15, 32, 32, 3)
    assert set(labels) == set(range(10))


def test_a_data_dir_may_begin_with_the_users_home(tfds_folder, monkeypatch):
    """A shell leaves it so behind --data-dir=."""
    monkeypatch.setenv("HOME", str(tfds_folder.parent))
    loaded = data.load("cifar10", data_dir=f"~/{tfds_folder.name}")
    assert loaded.config.data_dir == str(tfds_folder)


def write_own(folder, image=None, label=None, splits=("train", "test")):
    """TFDS files of a data set of one's own, `own`: 6 pictures of 8x8 a split."""
    import tensorflow_datasets as tfds

    image = image or tfds.features.Image(shape=(8, 8, 3))
    label = label or tfds.features.ClassLabel(names=["a", "b"])
    several = not isinstance(label, tfds.features.ClassLabel)
    features = tfds.features.FeaturesDict({"image": image, "label": label})
    pixels = np.arange(64 * image.shape[-1], dtype=image.np_dtype).reshape(8, 8, -1)
    examples = [{"image": pixels, "label": [index % 2] if several else index % 2} for index in range(6)]
    tfds_files.write(folder, "own", "1.0.0", features, dict.fromkeys(splits, examples))
    return {"data_dir": str(folder)}


def test_tfds_pictures_of_four_channels_are_read_without_their_transparency(tmp_path):
    import tensorflow_datasets as tfds

    loaded = data.load("own", **write_own(tmp_path, tfds.features.Image(shape=(8, 8, 4))))
    assert loaded.config.input_shape == (8, 8, 3)
    config = dataclasses.replace(loaded.config, mean=(0.0,) * 3, std=(1.0,) * 3)
    pictures, _ = next(pipeline.batches(loaded.test, config, 6).as_numpy_iterator())
    expected = np.arange(256, dtype=np.float32).reshape(8, 8, 4)[..., :3] / 255
    np.testing.assert_allclose(pictures[0], expected, atol=1e-6)


@pytest.mark.parametrize("what", ["sequence", "deep"])
def test_tfds_data_sets_of_other_kinds_are_refused(tmp_path, what):
    import tensorflow_datasets as tfds

    if what == "deep":
        given = write_own(tmp_path, image=tfds.features.Image(shape=(8, 8, 1), dtype=np.uint16))
        told = "own has pictures of 1 channels of uint16: grey and color of 8 bits can be read"
    else:
        given = write_own(tmp_path, label=tfds.features.Sequence(tfds.features.ClassLabel(names=["a", "b"])))
        told = r"its features are image \(Image\), label \(Sequence\), but an 'image' and one 'label' are needed"
    with pytest.raises(DataError, match=told):
        data.load("own", **given)


def test_a_data_set_that_has_a_test_split_only_is_for_evaluation(tmp_path):
    given = write_own(tmp_path, splits=("test",))
    with pytest.raises(DataError, match=r"no split 'train', only \['test'\]: take another data set, or evaluate"):
        data.load("own", **given)
    trained_on = data.DataConfig("other", (8, 8, 3), ("a", "b"), (0.5,) * 3, (0.25,) * 3)
    assert data.load("own", config=trained_on, **given).test.examples == 6


@pytest.mark.parametrize("held", [0, 20, 60])
def test_folds_do_not_ask_which_splits_fit_into_memory(tfds_folder, monkeypatch, held):
    monkeypatch.setattr(decoding, "MEMORY", held * 32 * 32 * 3)
    loaded = data.load("cifar10", data_dir=str(tfds_folder), fold=(1, 3))
    counts = [len(list(pipeline.pictures(each, loaded.config))) for each in (loaded.train, loaded.validation)]
    assert loaded.test.examples == 15 and sum(counts) == 30


@pytest.mark.slow
def test_a_run_goes_on_with_data_that_were_moved(tfds_folder, tmp_path, command):
    old = shutil.copytree(tfds_folder, tmp_path / "old")
    loaded = data.load("cifar10", data_dir=str(old))
    how = Recipe(epochs=1, batch_size=8)
    result = loop.start("bireal_r18", loaded, how, options={"units": (1,), "width": 16}, output=tmp_path)
    new = old.rename(tmp_path / "new")
    resumed = command("train", "--resume", result["run"], "--epochs", 2, "--data-dir", new, "--json", cwd=tmp_path)
    assert resumed.status == 0, resumed.err
    assert resumed.out["epochs"] == 2


def test_a_tfds_folder_that_is_damaged_is_told(tfds_folder, tmp_path):
    folder = shutil.copytree(tfds_folder, tmp_path / "tfds")
    (next(folder.rglob("dataset_info.json"))).write_text("{")
    with pytest.raises(DataError, match="cifar10"):
        data.load("cifar10", data_dir=str(folder))
