"""How a data set's pictures are prepared, as every other document tells it."""

from __future__ import annotations

from dataclasses import dataclass

from ftbnn_larq.documents.reading import MOST_CLASSES, MOST_SIDE, quoted, within

CROPS = ("pad", "resized", "jitter", "none")
MOST_FOLDS = 100


def _path(key: str, value: str | None) -> None:
    # What holds one can be no path.
    if value is not None and "\0" in value:
        raise ValueError(f"{key} is {quoted(value)}, expected no character 0")


def check_shape(shape: tuple[int, int, int]) -> None:
    for side in shape[:2]:
        within("input_shape", side, 1, MOST_SIDE)
    if shape[2] not in (1, 3):
        raise ValueError(f"input_shape has {quoted(shape[2])} channels, expected 1 or 3")


@dataclass(frozen=True)
class DataConfig:
    """Preprocessing and labels of a data set.

    It is stored with every run, so that evaluation, prediction and conversion prepare pictures as training did.

    Attributes:
        name: `digits`, a TFDS name, or `folder:PATH`.
        input_shape: (height, width, channels) of the network's input.
        labels: class names, in the order of the network's outputs.
        mean: mean per channel on the training split, of pixel values from 0 to 1.
        std: standard deviation per channel, likewise.
        crop: data augmentation: "pad" (shift by up to an eighth of the side), "resized" (a random part, resized),
            "jitter" (shift and zoom by fractions of a pixel) or "none".
        flip: whether half of the training pictures are mirrored.
        data_dir: the folder of TFDS's data sets; None for TFDS's default.
        fold: number of the fold that is the test split, from 1, and number of folds; None without cross-validation.
        fingerprint: names the pictures of the splits; None where it is not known, as in files of before.
    """

    name: str
    input_shape: tuple[int, int, int]
    labels: tuple[str, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    crop: str = "pad"
    flip: bool = True
    data_dir: str | None = None
    fold: tuple[int, int] | None = None
    fingerprint: str | None = None

    def check(self) -> None:
        """Raise ValueError for what a file may not say. While a data set is loaded, parts of it may not fit yet."""
        _path("data.name", self.name)
        _path("data.data_dir", self.data_dir)
        check_shape(self.input_shape)
        within("the number of data.labels", len(self.labels), 1, MOST_CLASSES)
        channels = self.input_shape[2]
        for key, values in (("data.mean", self.mean), ("data.std", self.std)):
            if len(values) not in (0, channels):
                raise ValueError(f"{key} has {len(values)} numbers, expected {channels}")
            # Beyond that, float32 has no number or none but 0.
            if not all(value == 0 or 1e-30 < abs(value) < 1e30 for value in values):
                raise ValueError(f"{key} holds {quoted(max(values, key=abs))}, expected numbers of float32")
        if len(self.mean) != len(self.std) or not all(value > 0 for value in self.std):
            raise ValueError("data.std is no number above 0 for each of data.mean, expected one")
        if self.crop not in CROPS:
            raise ValueError(f"data.crop is {quoted(self.crop)}, expected one of {', '.join(CROPS)}")
        if self.fold is not None:
            number, count = self.fold
            within("the number of folds in data.fold", count, 2, MOST_FOLDS)
            within("data.fold", number, 1, count)
