"""A flatbuffer as a function from pictures that are prepared already to scores, and the time that it takes."""

from __future__ import annotations

import os
import time

import numpy as np

from ftbnn_runtime import profile
from ftbnn_runtime.errors import Error, one_line, shown
from ftbnn_runtime.interpreters import load_delegate, load_with, stock
from ftbnn_runtime.native import isa

# In place of an instruction set: TFLite's own operators by XNNPACK, without the delegate.
STOCK = "xnnpack"


class Network:
    """A flatbuffer with one input and one output, both float32, in the stock interpreter.

    Attributes:
        input_shape: (1, h, w, c).
        classes: numbers in its output.
        isa: the instruction set, or "xnnpack" where the delegate was left out.

    Arguments:
        profiles: whether `profile` will be asked for; the delegate's clock takes time.

    Raises:
        Error: the file is missing or damaged, or no such network.
    """

    def __init__(
        self, path: str | os.PathLike, threads: int = 1, isa_wanted: str | None = None, *, profiles: bool = False
    ):
        try:
            if isa_wanted == STOCK:
                self._interpreter = stock().Interpreter(model_path=str(path), num_threads=threads)
            else:
                self._delegate = load_delegate(threads, isa_wanted, profile=profiles)
                self._interpreter = load_with(self._delegate, path, threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError, OSError) as error:
            raise Error(f"{shown(path)}: cannot be run ({one_line(error)})") from error
        ends = [self._interpreter.get_input_details(), self._interpreter.get_output_details()]
        if any(len(end) != 1 or end[0]["dtype"] is not np.float32 for end in ends):
            raise Error(f"{shown(path)}: only a network with one float32 input and one float32 output can be run")
        (self._input,), (self._output,) = ends
        self.input_shape = tuple(map(int, self._input["shape"]))
        if self.input_shape[:1] != (1,):
            raise Error(f"{shown(path)}: takes {self.input_shape}: only a network that takes one picture can be run")
        self.classes = int(np.prod(self._output["shape"]))
        self.isa = isa_wanted or isa()

    def scores(self, picture: np.ndarray) -> np.ndarray:
        """Scores (classes,) of a picture, float32 (h, w, c)."""
        self._put(picture)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"]).reshape(-1)

    def time(self, warmup: int, runs: int, pictures: np.ndarray | None = None) -> list[float]:
        """Milliseconds of each inference on float32 pictures (n, h, w, c) in turn; on random ones unless given."""
        if pictures is None:
            pictures = np.random.default_rng(0).standard_normal((1, *self.input_shape[1:])).astype(np.float32)
        times = []
        for index in range(warmup + runs):
            begin = time.perf_counter()
            self._put(pictures[index % len(pictures)])
            self._interpreter.invoke()
            times.append((time.perf_counter() - begin) * 1e3)
        return times[warmup:]

    def profile(self, warmup: int, runs: int, picture: np.ndarray) -> dict:
        """Time inferences on a picture, float32 (h, w, c), by step; see `profile.measure`."""
        self._put(picture)
        # The stock interpreters ask a delegate for its pointer in the same way.
        return profile.measure(self._interpreter.invoke, self._delegate._get_native_delegate_pointer(), warmup, runs)

    def _put(self, picture: np.ndarray) -> None:
        self._interpreter.set_tensor(self._input["index"], picture.reshape(self.input_shape))
