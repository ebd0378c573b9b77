"""`folder:PATH`: a folder with one folder per class, or with `train`, `val` and `test` folders of class folders."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ftbnn_larq.data.formats import Data, DataConfig, Split
from ftbnn_larq.data.pictures import SUFFIXES, check_picture, read_picture
from ftbnn_larq.errors import DataError

LAYOUT = "expected PATH/CLASS/picture.png, or PATH/train/CLASS/... and PATH/test/CLASS/..."
# Accepted names of split folders, in lower case.
SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


def _root(name: str) -> Path:
    return Path(name.removeprefix("folder:")).expanduser()


def _class_folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _pictures(root: Path) -> dict[str, list[Path]]:
    """The pictures of each class, sorted by class and by name.

    Raises:
        DataError: the folder is empty or has no class folders, a class has no pictures, or there is only one class.
    """
    classes = {
        folder.name: sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        for folder in _class_folders(root)
    }
    if not classes:
        flat = any(path.suffix.lower() in SUFFIXES for path in root.iterdir())
        raise DataError(f"{root} {'has pictures but no class folders' if flat else 'is empty'}: {LAYOUT}")
    for label, pictures in classes.items():
        if not pictures:
            raise DataError(
                f"{root / label}: class {label!r} has no pictures: put some in ({', '.join(sorted(SUFFIXES))}) or "
                "remove the folder"
            )
    if len(classes) < 2:
        raise DataError(f"{root} has one class only, {next(iter(classes))!r}: a classifier needs at least 2")
    return classes


def _listing(name: str) -> tuple[dict[str, list[Path]], dict[str, list[Path]] | None, dict[str, list[Path]] | None]:
    """Pictures by class for training, validation and test; None for a split that has no folder."""
    root = _root(name)
    if not str(name).removeprefix("folder:"):
        raise DataError("'folder:' has no path: write folder:PATH")
    if not root.exists():
        raise DataError(f"{root}: no such folder")
    if not root.is_dir():
        raise DataError(f"{root} is a file, not a folder: {LAYOUT}")
    folders = _class_folders(root)
    # A class may be called "train" too. Its folder then has pictures in it, and not only folders.
    if not any(path.name.lower() == "train" and _has_folders_alone(path) for path in folders):
        return _pictures(root), None, None
    parts: dict[str, dict[str, list[Path]]] = {}
    for folder in folders:
        split = SPLITS.get(folder.name.lower())
        if split is None or split in parts:
            raise DataError(
                f"{folder} stands beside a folder of training pictures. Only one folder called val (or valid, "
                "validation) and one called test may stand there: move it away. If train is a class, put its pictures "
                "directly into its folder"
            )
        parts[split] = _pictures(folder)
    train = parts["train"]
    for part in parts.values():
        if odd := sorted(set(part) ^ set(train)):
            raise DataError(
                f"{root}: class {odd[0]!r} is not in all of {', '.join(path.name for path in folders)}: every split "
                "needs every class"
            )
    return train, parts.get("validation"), parts.get("test")


def _has_folders_alone(root: Path) -> bool:
    return bool(_class_folders(root)) and not any(path.suffix.lower() in SUFFIXES for path in root.iterdir())


def check(name: str, data_dir: str | None) -> None:
    _listing(name)


def _cut(classes: dict[str, list[Path]], step: int, least: int) -> tuple[dict, dict]:
    """Split off every `step`-th picture of each class, at least one and always the same ones.

    Raises:
        DataError: a class has fewer than `least` pictures.
    """
    kept, aside = {}, {}
    for label, pictures in classes.items():
        if len(pictures) < least:
            raise DataError(
                f"class {label!r} has {len(pictures)} {'picture' if len(pictures) == 1 else 'pictures'}: at least "
                f"{least} are needed, one for each split"
            )
        aside[label] = pictures[1::step]
        kept[label] = [picture for index, picture in enumerate(pictures) if index % step != 1]
    return kept, aside


def load(name: str, *, data_dir: str | None, input_size: tuple[int, int] | None, download: bool) -> Data:
    train, validation, test = _listing(name)
    if test is None:
        train, test = _cut(train, 5, least=2 if validation is not None else 3)
    if validation is None:
        train, validation = _cut(train, 8, least=2)
    labels = tuple(sorted(train))
    everything = [path for part in (train, validation, test) for pictures in part.values() for path in pictures]
    with ThreadPoolExecutor() as pool:
        # Find damaged pictures now, not hours into a training.
        sizes = set(pool.map(check_picture, everything))
    width, height = sizes.pop() if len(sizes) == 1 else (224, 224)
    if max(width, height) > 224:
        width = height = 224
    shape = (*(input_size or (height, width)), 3)

    import tensorflow as tf

    def split(classes) -> Split:
        rows = [(str(path), labels.index(label)) for label, pictures in classes.items() for path in pictures]
        # Shuffled once, because some readers take only the first pictures (for example to measure the mean).
        random.Random(0).shuffle(rows)
        paths, targets = zip(*rows, strict=True)

        def read(path, target):
            picture = tf.numpy_function(lambda name: read_picture(name.decode()), [path], tf.uint8)
            picture.set_shape((None, None, 3))
            return picture, target

        dataset = tf.data.Dataset.from_tensor_slices((list(paths), tf.constant(targets, tf.int64)))
        return Split(len(rows), dataset, read, shuffle_buffer=len(rows))

    config = DataConfig(
        name=f"folder:{_root(name).resolve()}",
        input_shape=shape,
        labels=labels,
        crop="pad" if max(shape[:2]) <= 96 else "resized",
    )
    return Data(config, split(train), split(validation), split(test))
