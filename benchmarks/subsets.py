"""The data set of a study's variant: a name, and what is taken of it.

"cifar100 classes=10 pictures=20" are 20 training pictures of each of 10 classes, and all of their test pictures.
Classes are taken in equal steps of the alphabet, pictures in the order of their names.
"digits input_size=32" are the pictures at another size.
"""

from __future__ import annotations

from pathlib import Path

from ftbnn_larq import data
from ftbnn_larq.data import listing
from ftbnn_larq.errors import ConfigError, UnknownNameError

_KEYS = ("classes", "pictures", "input_size")


def parse(words: str) -> tuple[str, dict[str, int]]:
    """Name and keys of a data set.

    Raises:
        ConfigError: a value is no number above 0; UnknownNameError: an unknown key.
    """
    name, *changes = words.split() or [""]
    taken = {}
    for change in changes:
        key, _, value = change.partition("=")
        if key not in _KEYS:
            raise UnknownNameError(f"key in data set {words!r}:", key, _KEYS)
        if not value.isascii() or not value.isdigit() or int(value) == 0:
            raise ConfigError(f"data set {words!r}: {key} = {value!r} is no number above 0")
        taken[key] = int(value)
    return name, taken


def load(words: str, folder: Path, *, data_dir: str | None, pictures: str | None, channels: int | None) -> data.Data:
    """Load a data set.

    Arguments:
        words: name and keys.
        folder: where links to the pictures that are taken are made. They stay, so that a run can go on.
        data_dir: where TFDS keeps its data sets.
        pictures: a `folder:PATH` with the data set's pictures; None to take them from TFDS.
        channels: of the network's input; None for the data set's own.

    Raises:
        ConfigError: keys that need a folder of pictures, or more classes or pictures than there are.
        DataError: the data set is missing or damaged.
    """
    name, taken = parse(words)
    source = name if name == "digits" else pictures or name
    if taken.keys() & {"classes", "pictures"}:
        if not source.startswith("folder:"):
            raise ConfigError(f"data set {words!r}: name a folder with its pictures: --pictures folder:PATH")
        source = f"folder:{_links(words, Path(source.removeprefix('folder:')), folder / '-'.join(words.split()))}"
    return data.load(source, data_dir=data_dir, input_size=taken.get("input_size"), channels=channels)


def _links(words: str, root: Path, target: Path) -> Path:
    _, taken = parse(words)
    splits = listing.layout(listing.read(str(root.resolve()))).splits
    labels = sorted(splits["train"])
    count = taken.get("classes", len(labels))
    if count > len(labels) or "test" not in splits:
        raise ConfigError(f"{root}: {words!r} needs {count} classes and a test split, it has {len(labels)} classes")
    for label in labels[:: len(labels) // count][:count]:
        for split in ("train", "test"):
            files = sorted(Path(file.path) for each in splits[split][label] for file in each.all_files())
            if split == "train" and "pictures" in taken:
                if len(files) < taken["pictures"]:
                    raise ConfigError(f"{root}: {words!r}: class {label!r} has {len(files)} pictures")
                files = files[: taken["pictures"]]
            place = target / split / label
            place.mkdir(parents=True, exist_ok=True)
            for file in files:
                if not (link := place / file.name).is_symlink():
                    link.symlink_to(file)
    return target
