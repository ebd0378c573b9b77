"""A flatbuffer with the model.json beside it, as a function from a picture to labels."""

from __future__ import annotations

import os
import threading

import numpy as np

from ftbnn_runtime import description, pictures
from ftbnn_runtime.errors import Error, one_line, shown
from ftbnn_runtime.interpreters import Interpreter

_APART = "keep the two files together that `ftbnn-larq convert` wrote"


class Classifier:
    """Classifies pictures: `Classifier("model.tflite")("photo.jpg")` gives labels and probabilities, best first.

    Several Python threads may use one: its network classifies one picture at a time.

    Arguments:
        path: the .tflite file that `ftbnn-larq convert` wrote, with its .json file beside it.
        num_threads: 1 to 64.
        isa, claim, package: as for `load_delegate`.

    Attributes:
        labels: class names, in the order of the network's outputs.
        input_shape: (height, width, channels) of the network's input.

    Raises:
        Error: a file is missing or damaged, or the two do not belong together.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        num_threads: int = 1,
        isa: str | None = None,
        claim: str = "all",
        package: str | None = None,
    ):
        name = shown(os.fspath(path))
        if not os.path.isfile(path):
            raise Error(f"{name}: no such file")
        self._description = description.read(path)
        self.labels, self.input_shape = self._description.labels, self._description.input_shape
        self._interpreter = Interpreter(path, num_threads, isa, claim, package)
        try:
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise Error(f"{name}: cannot be run ({one_line(error)})") from error
        self._input, self._output = self._check(name)
        self._lock = threading.Lock()

    def _check(self, name: str) -> tuple[int, int]:
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise Error(f"{name}: has {len(inputs)} inputs and {len(outputs)} outputs: a classifier has one of each")
        for end, tensor in (("input", inputs[0]), ("output", outputs[0])):
            if tensor["dtype"] is not np.float32:
                raise Error(f"{name}: its {end} is {np.dtype(tensor['dtype']).name}, and not float32")
        takes, gives = tuple(map(int, inputs[0]["shape"])), tuple(map(int, outputs[0]["shape"]))
        if takes != (1, *self.input_shape):
            raise Error(f"{name}: takes {takes}, and its .json file says pictures of {self.input_shape}: {_APART}")
        # One score is of two classes.
        if gives not in {(1, len(self.labels)), (1, 1) if len(self.labels) == 2 else None}:
            raise Error(f"{name}: gives scores of {gives}, and its .json file has {len(self.labels)} labels: {_APART}")
        return inputs[0]["index"], outputs[0]["index"]

    def __call__(self, picture) -> list[tuple[str, float]]:
        """All labels with their probabilities, best first.

        Arguments:
            picture: path of a file, a Pillow image, or an array, uint8 (h, w) or (h, w, c).

        Raises:
            Error: the picture cannot be read, or the network cannot be run.
        """
        return self.ranked(self.probabilities(self.prepare(picture)))

    def prepare(self, picture) -> np.ndarray:
        """The network's input of a picture, float32 (1, height, width, channels)."""
        fitted = pictures.fit(pictures.read(picture), self.input_shape)
        return pictures.normalise(fitted, self._description.mean, self._description.std)[None]

    def probabilities(self, prepared: np.ndarray) -> np.ndarray:
        """Probabilities (classes,) of what `prepare` gave."""
        try:
            with self._lock:
                self._interpreter.set_tensor(self._input, prepared)
                self._interpreter.invoke()
                scores = self._interpreter.get_tensor(self._output)[0].astype(np.float64)
        except (RuntimeError, ValueError) as error:
            raise Error(f"the network cannot be run ({one_line(error)})") from error
        return per_class(scores, self._description.is_probability)

    def ranked(self, probabilities: np.ndarray) -> list[tuple[str, float]]:
        """Labels with probabilities (classes,), best first."""
        order = np.argsort(-probabilities, kind="stable")
        return [(self.labels[index], float(probabilities[index])) for index in order]


def per_class(scores: np.ndarray, is_probability: bool) -> np.ndarray:
    """Probabilities (classes,) of scores (classes,).

    One score (1,) is of two classes: the higher it is, the more it is the second one.
    """
    if len(scores) == 1:
        scores = np.append(1 - scores if is_probability else 0.0, scores)
    if is_probability:
        return scores
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()
