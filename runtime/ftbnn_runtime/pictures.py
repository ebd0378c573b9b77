"""Pictures as the network takes them. They are prepared as `ftbnn-larq predict` prepares them."""

from __future__ import annotations

import os

import numpy as np

from ftbnn_runtime.errors import Error, one_line, shown
from ftbnn_runtime.formats import FORMATS, in_rgb, is_deep, orientation, too_large, upright

# Of a photograph, that are filtered at a time.
ROWS = 16


def read(picture) -> np.ndarray:
    """The pixels of a picture, uint8 (h, w, c), turned upright as its EXIF data say.

    Arguments:
        picture: path of a file, a Pillow image, or an array, uint8 (h, w) or (h, w, c) with 1, 3 or 4 channels.

    Raises:
        Error: it is none of these, or is damaged.
    """
    if isinstance(picture, (str, bytes, os.PathLike)):
        return _read_file(os.fsdecode(picture))
    if hasattr(picture, "getexif"):
        return _pixels(picture, "the image")
    array = np.asarray(picture)
    if array.dtype != np.uint8:
        raise Error(f"the picture is an array of {array.dtype}: give uint8, values from 0 to 255")
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.size == 0:
        raise Error(f"the picture is an array of shape {np.shape(picture)}: give (height, width, 1, 3 or 4 channels)")
    return array


def _read_file(path: str) -> np.ndarray:
    name = shown(path)
    try:
        from PIL import Image
    except ImportError as error:
        raise Error(f"{name}: reading picture files needs Pillow. Type `pip install pillow`") from error
    if os.path.exists(path) and not os.path.isfile(path):
        # A pipe may be read for ever.
        raise Error(f"{name}: not a file")
    try:
        if reason := too_large(path):
            raise Error(f"{name}: {reason}")
        try:
            opened = Image.open(path, formats=("JPEG", "PNG"))
        except Image.UnidentifiedImageError:
            # Pillow takes long to load all its readers. A version of it lacks some.
            Image.init()
            opened = Image.open(path, formats=[kind for kind in FORMATS if kind in Image.OPEN])
    except Error:
        raise
    except Exception as error:  # Pillow's readers raise a dozen kinds for a damaged file
        reason = "not a picture file" if isinstance(error, Image.UnidentifiedImageError) else _reason(error)
        raise Error(f"{name}: cannot be read as a picture ({reason})") from error
    with opened:
        return _pixels(opened, name)


def _pixels(picture, name: str) -> np.ndarray:

    if picture.mode in ("I", "F") and not is_deep(picture):
        raise Error(f"{name}: its pixels have 32 bits, whose range is unknown: store it with 8 or 16 bits")
    try:
        picture.load()
        turned = orientation(picture)
        array = np.asarray(in_rgb(picture), np.uint8)
    except Exception as error:  # as above
        raise Error(f"{name}: damaged picture ({_reason(error)})") from error
    if array.size == 0:
        raise Error(f"{name}: has no pixels")
    return upright(array, turned)


def _reason(error: Exception) -> str:
    return one_line(getattr(error, "strerror", None) or error, 120)


def fit(picture: np.ndarray, input_shape: tuple[int, int, int]) -> np.ndarray:
    """Bring a picture to the network's size: scale it to cover that size, then crop the center.

    Arguments:
        picture: uint8 (h, w, c) with 1, 3 or 4 channels. The fourth is left out.
        input_shape: (height, width, channels) of the result.
    """
    height, width, channels = input_shape
    picture = _with_channels(picture, channels)
    if picture.shape[:2] == (height, width):
        return picture
    size = np.array(picture.shape[:2], np.float32)
    # In float32, as TensorFlow computes it: elsewhere a rounding may give one row more.
    scale = np.max(np.array([height, width], np.float32) / size)
    resized = np.ceil(size * scale - np.float32(1e-3)).astype(np.int64)
    down = _Filter(picture.shape[0], int(resized[0]), height)
    right = _Filter(picture.shape[1], int(resized[1]), width)
    # The columns that the crop needs; the filters are applied to the first axis.
    picture = picture[:, right.first : right.last]
    rows = down.apply(picture.reshape(picture.shape[0], -1)).reshape(height, -1, channels)
    columns = rows.transpose(1, 0, 2).reshape(rows.shape[1], -1)
    fitted = right.apply(columns, right.first).reshape(width, height, channels).transpose(1, 0, 2)
    return np.clip(np.rint(fitted), 0, 255).astype(np.uint8)


def _with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    if picture.shape[2] == channels:
        return picture
    if channels == 1:
        weights = np.array([0.299, 0.587, 0.114], np.float32)
        return np.rint((picture[..., :3] * weights).sum(-1, keepdims=True)).astype(np.uint8)
    return np.repeat(picture, channels, axis=2) if picture.shape[2] == 1 else picture[..., :channels]


class _Filter:
    """Weights that resize an axis, and crop its center: a triangle, wider where the axis shrinks (antialiasing).

    It is that of `tf.image.resize(method="bilinear", antialias=True)`: the center of pixel i is at i + 0.5.

    Arguments:
        size: pixels of the axis.
        resized: pixels that it would have without the crop.
        count: pixels of the result.
    """

    def __init__(self, size: int, resized: int, count: int):
        step = np.float32(1 / (np.float32(resized) / np.float32(size)))
        radius = max(step, np.float32(1))
        places = (resized - count) // 2 + np.arange(count)
        middle = (places.astype(np.float32) + np.float32(0.5)) * step
        self.begin = np.clip(np.ceil(middle - radius - np.float32(0.5)), 0, size - 1).astype(np.int64)
        self.end = np.clip(np.floor(middle + radius - np.float32(0.5)), 0, size - 1).astype(np.int64) + 1
        self.weights = []
        for center, begin, end in zip(middle, self.begin, self.end):  # noqa: B905 (Python 3.9 has no strict)
            distance = np.abs(np.arange(begin, end, dtype=np.float32) + np.float32(0.5) - center)
            weights = np.maximum(0, 1 - distance / radius)
            self.weights.append(weights / weights.sum())
        self.first, self.last = int(self.begin.min()), int(self.end.max())

    def apply(self, values: np.ndarray, first: int = 0) -> np.ndarray:
        """Filter values (pixels from `first` on, m); gives float32 (count, m)."""
        result = np.zeros((len(self.weights), values.shape[1]), np.float32)
        for index, weights in enumerate(self.weights):
            part = values[self.begin[index] - first : self.end[index] - first]
            # A few rows at a time, which stay in the processor's cache.
            for at in range(0, len(weights), ROWS):
                result[index] += weights[at : at + ROWS] @ part[at : at + ROWS].astype(np.float32, copy=False)
        return result


def normalise(picture: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Normalize a uint8 picture to the network's float32 input: (pixel / 255 - mean) / std."""
    pixels = picture.astype(np.float32)
    if not any(mean) and all(value == 1 / 255 for value in std):
        # Whole numbers, which the divisions would round.
        return pixels
    return (pixels / np.float32(255) - np.array(mean, np.float32)) / np.array(std, np.float32)


def restore(picture: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """The uint8 pixels that `normalise` made a float32 picture of; without mean and std they are as they were."""
    pixels = (picture * np.array(std or 1 / 255) + np.array(mean or 0)) * 255
    return np.rint(pixels).clip(0, 255).astype(np.uint8)
