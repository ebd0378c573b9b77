"""Which files of a folder are pictures of which class and split, and what is left out. Reads names, no contents."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from ftbnn_larq.errors import DataError
from ftbnn_runtime.formats import SUFFIXES

LAYOUT = "expected PATH/CLASS/picture.png, or PATH/train/CLASS/... and PATH/test/CLASS/..."
# What systems and tools put beside pictures, in lower case.
HIDDEN = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
HIDDEN |= {"@recycle", "@synoresource", "#snapshot", "__pycache__"}
HIDDEN |= {"thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r"}
# Words of a folder's name that make it a split, in lower case.
WORDS = {
    "train": "train training trainval trn",
    "validation": "val valid validation dev",
    "test": "test testing tst eval evaluation holdout",
}
SPLITS = {word: split for split, words in WORDS.items() for word in words.split()}
# "trainset" and the like are one word.
_TAILS = re.compile(r"(.+?)(set|data|images|imgs|pics|split)$")


class File(NamedTuple):
    """Attributes: the path, the bytes (-1 for a link to nowhere), and the time of the last change in ns."""

    path: str
    size: int
    changed: int

    @property
    def suffix(self) -> str:
        return os.path.splitext(self.path)[1].lower()


@dataclasses.dataclass
class Folder:
    """A folder: its files, its folders by name, and the number of hidden files here and in hidden folders."""

    path: str
    files: list[File] = dataclasses.field(default_factory=list)
    folders: dict[str, Folder] = dataclasses.field(default_factory=dict)
    hidden: int = 0

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def has_pictures(self) -> bool:
        """Whether there are files directly in it that are called pictures."""
        return any(file.suffix in SUFFIXES for file in self.files)

    def walk(self) -> Iterator[Folder]:
        """This folder and all below it."""
        yield self
        for folder in self.folders.values():
            yield from folder.walk()

    def all_files(self) -> list[File]:
        """The files here and below, sorted by their paths, folder by folder."""
        return sorted(
            (file for folder in self.walk() for file in folder.files), key=lambda file: file.path.split(os.sep)
        )


def read(path: str, within: tuple = ()) -> Folder:
    """Read a folder and all below it. Links are followed.

    Arguments:
        within: (device, inode) of the folders that it lies in.

    Raises:
        DataError: a folder cannot be read, or is a link to a folder that it lies in.
    """
    found = Folder(path)
    try:
        status = os.stat(path)
        own = (status.st_dev, status.st_ino)
        if own in within:
            raise DataError(f"{path} is a link to a folder that it lies in: remove the link")
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if _is_hidden(entry.name):
                    found.hidden += _count(entry)
                elif entry.is_dir():
                    found.folders[entry.name] = read(entry.path, (*within, own))
                else:
                    _add(found, entry)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return found


def _add(folder: Folder, entry: os.DirEntry) -> None:
    try:
        status = entry.stat()
    except OSError:  # a link to nowhere
        folder.files.append(File(entry.path, -1, 0))
        return
    if stat.S_ISREG(status.st_mode):
        folder.files.append(File(entry.path, status.st_size, status.st_mtime_ns))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.endswith("~") or name.lower() in HIDDEN


def _count(entry: os.DirEntry) -> int:
    if not entry.is_dir(follow_symlinks=False):
        return 1
    return sum(len(files) for _, _, files in os.walk(entry.path))


def label_of(name: str) -> str:
    """A folder's name as text. A name that is not UTF-8 is read as Latin-1."""
    raw = os.fsencode(name)
    try:
        # macOS writes an accent behind its letter, others write both as one.
        return unicodedata.normalize("NFC", raw.decode())
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def split_of(name: str) -> str | None:
    """The split that a folder's name says, such as "train" for "seg_train", "Training" or "trainSet"; else None."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    found = set()
    for word in map(str.lower, words):
        tail = _TAILS.match(word)
        found.add(SPLITS.get(word) or (tail and SPLITS.get(tail[1])))
    found.discard(None)
    return found.pop() if len(found) == 1 else None


class Layout(NamedTuple):
    """The class folders of each split, and what the user should know of them.

    Attributes:
        splits: "train" -> label -> folders, likewise "validation" and "test" where there are any.
        notes: a line each.
        name: of the folder that the classes or splits are in.
    """

    splits: dict[str, dict[str, list[Folder]]]
    notes: list[str]
    name: str


def layout(root: Folder) -> Layout:
    """Find splits and classes.

    Raises:
        DataError: there are no classes, one class only, a class without files, splits of different classes, or folders
            that may be splits or classes.
    """
    notes: list[str] = []
    place = _inner(root)
    if place is not root:
        notes.append(f"classes are read from {place.path}")
    splits = _split_folders(place)
    if splits is None:
        by_class = {name: _by_split(folder) for name, folder in place.folders.items()}
        if by_class and all(by_class.values()):
            # PATH/CLASS/train/picture.png
            splits = {}
            for name, parts in by_class.items():
                for split, folder in parts.items():
                    splits.setdefault(split, {})[name] = folder
        else:
            _refuse_unknown_splits(place)
            _refuse_splits_of_some(place, by_class)
            splits = {"train": place.folders}
    found = {split: _labelled(folders) for split, folders in splits.items()}
    _check(place, found)
    return Layout(found, notes, place.name)


def _inner(folder: Folder) -> Folder:
    """The folder that an archive's folders of one folder alone lead to."""
    while len(folder.folders) == 1 and not folder.has_pictures:
        (inner,) = folder.folders.values()
        if not inner.folders or inner.has_pictures:
            break
        folder = inner
    return folder


def _split_folders(place: Folder) -> dict[str, dict[str, Folder]] | None:
    """The class folders of each split; None where no folder is one of training pictures.

    A class may be called "train" too. Its folder then has pictures in it, and not only folders.
    """
    names = {name: split_of(name) for name in place.folders}
    classes = {name: _class_folders(folder) for name, folder in place.folders.items()}

    def is_split(name: str) -> bool:
        others = (classes[other] for other in classes if other != name and names[other])
        alike = any(len(classes[name].keys() & other.keys()) > 1 for other in others)
        return bool(classes[name]) and (alike or not place.folders[name].has_pictures)

    if not any(split == "train" and is_split(name) for name, split in names.items()):
        return None
    splits: dict[str, dict[str, Folder]] = {}
    taken: dict[str, str] = {}
    for name, split in names.items():
        if not classes[name]:
            # Pictures without a class, as in the test splits of contests.
            continue
        if split is None or split in splits:
            raise DataError(
                f"{place.folders[name].path} stands beside {taken.get(split, 'a folder of training pictures')}. Only "
                "one folder for training, one for validation (val) and one for testing may stand there: move it away. "
                "If train is a class, put its pictures directly into its folder"
            )
        splits[split], taken[split] = classes[name], place.folders[name].path
    return splits


def _class_folders(folder: Folder) -> dict[str, Folder]:
    """The class folders of a folder that may be a split: not its own name once more, with pictures in it."""
    inner = _inner(folder)
    names = list(inner.folders)
    again = len(names) == 1 and (names[0].lower() == inner.name.lower() or split_of(names[0]) is not None)
    return {} if again else inner.folders


def _by_split(folder: Folder) -> dict[str, Folder] | None:
    """The splits that a class folder has in it; None where it has anything else, or no training pictures."""
    parts = {split_of(name): inner for name, inner in folder.folders.items()}
    whole = len(parts) == len(folder.folders) and None not in parts and "train" in parts
    return parts if whole and not folder.has_pictures else None


def _refuse_unknown_splits(place: Folder) -> None:
    folders = list(place.folders.values())
    if len(folders) < 2 or all(folder.has_pictures for folder in folders):
        return
    shared = set.intersection(*({*folder.folders} for folder in folders))
    if len(shared) > 1:
        raise DataError(
            f"{place.path}: {', '.join(folder.name for folder in folders[:3])} all have the folders "
            f"{', '.join(sorted(shared)[:3])} in them: are they splits or classes? Call splits train, val and test; "
            "put the pictures of classes directly into their folders"
        )


def _refuse_splits_of_some(place: Folder, by_class: dict[str, dict | None]) -> None:
    """Some class folders have splits in them and others have not: pictures for testing would be trained on."""
    for folder in place.folders.values():
        if {"train", "test"} <= {split_of(name) for name in folder.folders}:
            odd = next(place.folders[name] for name, parts in by_class.items() if not parts)
            other = "and more" if odd is folder else f"{odd.path} has not"
            raise DataError(
                f"{folder.path} has folders for training and test in it, {other}: give every class such folders and "
                "nothing beside them, or none"
            )


def _labelled(folders: dict[str, Folder]) -> dict[str, list[Folder]]:
    found: dict[str, list[Folder]] = {}
    for name, folder in folders.items():
        found.setdefault(label_of(name), []).append(folder)
    return found


def _check(place: Folder, splits: dict[str, dict[str, list[Folder]]]) -> None:
    train = splits["train"]
    if not train:
        what = "has pictures but no class folders" if place.has_pictures else "is empty"
        raise DataError(f"{place.path} {what}: {LAYOUT}")
    for classes in splits.values():
        for label, folders in classes.items():
            if not any(folder.all_files() for folder in folders):
                raise no_pictures(folders[0].path, label)
        if odd := sorted(classes.keys() ^ train.keys()):
            raise DataError(
                f"{place.path}: class {odd[0]!r} is not in all of {', '.join(splits)}: every split needs every class"
            )
    if len(train) < 2:
        raise DataError(f"{place.path} has one class only, {next(iter(train))!r}: a classifier needs at least 2")


def no_pictures(path: str, label: str) -> DataError:
    suffixes = ", ".join(sorted(SUFFIXES)[:40])
    return DataError(f"{path}: class {label!r} has no pictures: put some in ({suffixes}) or remove the folder")
