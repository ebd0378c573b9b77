"""`folder:PATH`: a folder of class folders, or one with folders for training, validation and test that have them."""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from pathlib import Path

from ftbnn_larq.data import listing
from ftbnn_larq.data.formats import SMALL, Data, DataConfig, Split
from ftbnn_larq.errors import DataError, one_line
from ftbnn_runtime.formats import SUFFIXES

# A class of pictures by their paths: label -> sorted paths.
Classes = dict[str, list[str]]
# Paths held in memory for shuffling: all that a folder has.
PATHS = 1 << 40


def _root(name: str) -> Path:
    try:
        return Path(name.removeprefix("folder:")).expanduser()
    except RuntimeError as error:
        raise DataError(f"{name}: {one_line(error)} Give a whole path") from error


def full_name(name: str) -> str:
    return f"folder:{_root(name).resolve()}"


def _read(name: str) -> tuple[listing.Folder, listing.Layout]:
    root = _root(name)
    if not str(name).removeprefix("folder:"):
        raise DataError("'folder:' has no path: write folder:PATH")
    if not root.exists():
        raise DataError(f"{root}: no such folder")
    if not root.is_dir():
        raise DataError(f"{root} is a file, not a folder: {listing.LAYOUT}")
    folder = listing.read(str(root.resolve()))
    return folder, listing.layout(folder)


def check(name: str, data_dir: str | None) -> None:
    _read(name)


def load(
    name: str, *, data_dir: str | None, input_size: tuple[int, int] | None, download: bool, for_test: bool
) -> Data:
    from ftbnn_larq.data.decoding import in_memory
    from ftbnn_larq.data.index import records

    folder, layout = _read(name)
    named = {
        split: {label: [file for each in folders for file in each.all_files()] for label, folders in classes.items()}
        for split, classes in layout.splits.items()
    }
    candidates = [file for classes in named.values() for files in classes.values() for file in files]
    known = records(folder.path, candidates)
    # A file that is not called a picture may be one, or else is left out.
    others = [file for file in candidates if known[file.path].problem and file.suffix not in SUFFIXES]
    if damaged := [
        known[file.path].problem for file in candidates if file.suffix in SUFFIXES and known[file.path].problem
    ]:
        raise DataError("; ".join([*damaged, *(["mend or remove these pictures"] if len(damaged) > 1 else [])]))
    splits = {
        split: {
            label: [file.path for file in files if not known[file.path].problem] for label, files in classes.items()
        }
        for split, classes in named.items()
    }
    for split, classes in splits.items():
        for label, paths in classes.items():
            if not paths:
                raise listing.no_pictures(layout.splits[split][label][0].path, label)
    # A folder called "test" alone: all of its pictures are for testing.
    whole = for_test and [*splits] == ["train"] and listing.split_of(layout.name) == "test"
    parts = _cut_where_missing(splits, any_number=whole)
    fingerprint = _fingerprint(parts, known)
    if whole:
        parts = dict.fromkeys(parts, splits["train"])
    sizes = {(known[file.path].height, known[file.path].width) for file in candidates if not known[file.path].problem}
    size = sizes.pop() if len(sizes) == 1 else None
    config = _config(name, tuple(sorted(splits["train"])), input_size, size)
    notes = [*layout.notes, *_left_out(folder, candidates, others), *([] if whole else _shared(parts, known))]
    made = [_split(part, config.labels, known, folder.path) for part in parts.values()]
    if size and max(size) <= SMALL:
        made = in_memory(made, (*size, 3))
    return Data(config, *made, tuple(notes), fingerprint, own_test="test" in splits)


def _cut_where_missing(splits: dict[str, Classes], any_number: bool) -> dict[str, Classes]:
    """Training, validation and test pictures; a split without a folder is cut off the training pictures.

    Arguments:
        any_number: whether classes may have too few pictures for it.
    """
    train, validation, test = splits["train"], splits.get("validation"), splits.get("test")
    if test is None:
        train, test = _cut(train, 5, least=0 if any_number else 2 if validation is not None else 3)
    if validation is None:
        train, validation = _cut(train, 8, least=0 if any_number else 2)
    return {"training": train, "validation": validation, "test": test}


def _cut(classes: Classes, step: int, least: int) -> tuple[Classes, Classes]:
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


def _config(name: str, labels: tuple[str, ...], input_size, size: tuple[int, int] | None) -> DataConfig:
    """The configuration for pictures of this size (h, w); None where they differ."""
    shape = (*(input_size or (size if size and max(size) <= 224 else (224, 224))), 3)
    crop = "pad" if max(shape[:2]) <= SMALL else "resized"
    return DataConfig(full_name(name), shape, labels, crop=crop)


def _split(classes: Classes, labels: tuple[str, ...], known, root: str) -> Split:
    import tensorflow as tf

    from ftbnn_larq.data.decoding import Encoded

    rows = [(path, labels.index(label)) for label, paths in classes.items() for path in paths]
    # Shuffled once, because some readers take only the first pictures (for example to measure the mean).
    random.Random(0).shuffle(rows)
    # A path is bytes, and not always UTF-8.
    paths = [os.fsencode(known[path].path(path)) for path, _ in rows]
    turns = tf.constant([known[path].orientation for path, _ in rows], tf.int32)
    targets = tf.constant([target for _, target in rows], tf.int64)

    def read(path, orientation, target):
        return Encoded(tf.io.read_file(path), orientation), target

    names = tuple(os.fsencode(os.path.relpath(path, root)).decode(errors="replace") for path, _ in rows)
    rows = tf.data.Dataset.from_tensor_slices((paths, turns, targets))
    return Split(len(names), rows, read, shuffle_buffer=PATHS, names=names)


def _fingerprint(parts: dict[str, Classes], known) -> str:
    content = hashlib.blake2b(digest_size=16)
    for split, classes in parts.items():
        for label, paths in classes.items():
            told = repr((split, label, [known[path].digest for path in paths]))
            content.update(told.encode(errors="surrogateescape"))
    return content.hexdigest()


def _left_out(folder: listing.Folder, candidates, others) -> list[str]:
    """A line on what is in the folder and not in the data set, if there is anything."""
    taken = {file.path for file in candidates} - {file.path for file in others}
    rest = [file for each in folder.walk() for file in each.files if file.path not in taken]
    stray = [file.path for file in rest if file.suffix in SUFFIXES]
    suffixes = Counter(file.suffix or "without suffix" for file in rest if file.suffix not in SUFFIXES)
    hidden = sum(each.hidden for each in folder.walk())
    parts = []
    if hidden:
        parts.append(f"{_count(hidden, 'hidden file')}")
    if suffixes:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5))
        parts.append(f"{_count(suffixes.total(), 'file')} that Pillow does not read ({kinds})")
    if stray:
        parts.append(f"{_count(len(stray), 'picture')} in no class folder ({stray[0]})")
    return [f"left out of {folder.path}: {', '.join(parts)}"] if parts else []


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shared(parts: dict[str, Classes], known) -> list[str]:
    """A line for each two splits that have pictures of the same bytes."""
    seen: dict[str, tuple[str, str]] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for split, classes in parts.items():
        for paths in classes.values():
            for path in paths:
                first, other = seen.setdefault(known[path].digest, (split, path))
                if first != split:
                    shared.setdefault((first, split), []).append(f"{path} is {other}")
    return [
        f"{_count(len(found), 'picture')} of the {split} split {'has' if len(found) == 1 else 'have'} the bytes of "
        f"{first} pictures, so accuracy is overstated: {found[0]}"
        for (first, split), found in shared.items()
    ]
