"""What a benchmark has to know of a flatbuffer, read without running it; networks by name that have none yet."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ftbnn_larq import zoo
from ftbnn_larq.benchmarking.output import Row
from ftbnn_larq.conversion import census
from ftbnn_larq.conversion import flatbuffer as fb
from ftbnn_larq.documents import MOST_CLASSES, MOST_SIDE
from ftbnn_larq.errors import ModelFileError, one_line
from ftbnn_larq.inference import schema
from ftbnn_larq.inference.interpreter import ENGINES


@dataclasses.dataclass(frozen=True)
class Model:
    """A flatbuffer with one picture as its input and one output.

    Attributes:
        path: where it lies.
        name: what it is called in results; the path, or a network's name.
        sha256: of the file.
        input_name, input_shape: of its picture, (1, h, w, c).
        classes: numbers in its output.
        operators: type and output of each, in order of execution.
        layers: the Keras layers that each of them came from.
        grouped: whether it holds LCE's grouped binary convolution, which the default kernel refuses.
    """

    path: Path
    name: str
    sha256: str
    input_name: str
    input_shape: tuple[int, ...]
    classes: int
    operators: tuple[census.Operator, ...]
    layers: tuple[str, ...]
    grouped: bool

    @property
    def is_plain(self) -> bool:
        """Whether it holds no operator of LCE.

        Such a flatbuffer is timed as its users run it, in TFLite's interpreter with XNNPACK, which LCE's interpreter in
        Python leaves out.
        """
        return not any(operator.type.startswith("Lce") for operator in self.operators)

    def kernel(self, fastest: tuple[str, str]) -> tuple[str, str]:
        """LCE's kernel that runs it best, or XNNPACK, and why.

        Arguments:
            fastest: the same for a network that all kernels of LCE run; it depends on the machine.
        """
        if self.is_plain:
            return ENGINES["tflite"][0], "it holds no operator of LCE"
        if self.grouped:
            return "indirect", "it holds grouped binary convolutions, which the default kernel refuses"
        return fastest

    @property
    def census(self) -> list[dict]:
        """`[{type, count}]`, the most frequent first."""
        return [{"type": name, "count": count} for name, count in census.census(list(self.operators)).items()]

    def profile(self, rows: Iterable[Row]) -> list[dict]:
        """The rows of a profile, the slowest first: `[{layer, type, ms, calls}]` with the names of Keras's layers."""
        found = [
            {"layer": self._layer(row), "type": row.type, "ms": round(row.ms, 4), "calls": row.calls} for row in rows
        ]
        return sorted(found, key=lambda row: -row["ms"])

    def _layer(self, row: Row) -> str:
        # The profile cuts names short, but newer builds say each operator's number.
        match = re.fullmatch(r"\[(.*?)\](?::(\d+))?", row.name)
        if not match:
            return "several" if row.calls > 1 else row.name or row.type
        fitting = [
            layer
            # The first graph's come first, and its layers alone are known.
            for index, (operator, layer) in enumerate(zip(self.operators, self.layers, strict=False))
            if operator.output.startswith(match[1]) and (match[2] is None or int(match[2]) == index)
        ]
        return fitting[0] if len(fitting) == 1 else ", ".join(layers_named(match[1]))


def random_pictures(model: Model, count: int):
    """float32 (count, h, w, c), the same each time: the time of a binary network does not depend on them."""
    import numpy as np

    return np.random.default_rng(0).standard_normal((count, *model.input_shape[1:]), np.float32)


# The converter cuts tensor names to that length.
_CUT = 50


def layers_named(tensor: str, root: str | None = None) -> list[str]:
    """The layers in a tensor's name.

    LCE's converter tells the paths of all operations that went into it, below the network's name, `root`:
    "net/conv1/Conv2D;net/bn1/FusedBatchNormV3" came from conv1 and bn1. Names may also have been cut down to the layer,
    with the part of it behind: "bn1/group2".
    """
    paths = [part.split("/") for part in tensor.split(";")]
    if len(tensor) >= _CUT and len(paths) > 1:
        paths = paths[:-1]
    names = []
    for path in paths:
        if len(path) > 1 and (path[0] == root or (root is None and len(path) > 2)):
            path = path[1:]
        part = re.fullmatch(r"(group|piece|part)\d+", path[-1])
        names.append(f"{path[0]}/{path[-1]}" if part and len(path) > 1 else path[0])
    return list(dict.fromkeys(names))


def _root(names: Iterable[str]) -> str | None:
    """The first part that most of the tensors' names share: the network's own."""
    first = [name.split("/")[0] for name in names]
    root, count = collections.Counter(first).most_common(1)[0]
    return root if count > len(first) / 2 else None


# What parts and joins the channels of groups between their signs and their convolutions, and its input that holds them.
_MOVES = {"SPLIT": 1, "CONCATENATION": 0}


def _layers(model, graph) -> tuple[str, ...]:
    producers = {output: operator for operator in graph.operators for output in operator.outputs}
    names = {index: graph.tensors[index].name.decode() for index in producers}
    # Where they share none, they hold no network's name, and nothing is to be taken away.
    root = _root(names.values()) or ""

    def maker(tensor: int) -> str | None:
        return fb.operator_type(model, producers[tensor]) if tensor in producers else None

    def of(operator) -> str:
        layers = layers_named(names[operator.outputs[0]], root)
        if fb.operator_type(model, operator) == census.BINARY_CONVOLUTION:
            # Its own name is that of the batch norm it absorbed; the sign before it carries the convolution's.
            source, seen = operator.inputs[0], set()
            # A damaged file may go in circles.
            while source not in seen and (index := _MOVES.get(maker(source))) is not None:
                seen.add(source)
                source = producers[source].inputs[index]
            if maker(source) == "LceQuantize":
                sign = layers_named(names[source], root)[0].split("/")[0]
                layers = list(dict.fromkeys([sign, *layers]))
        return ", ".join(layers)

    return tuple(of(operator) for operator in graph.operators)


def read_model(path: str | os.PathLike, name: str | None = None) -> Model:
    """The flatbuffer at a path, or of a published NAME:DATASET, called `name` or as it was asked for.

    Raises:
        ModelFileError: no flatbuffer of a classifier of pictures.
    """
    name, path = name or str(path), zoo.published_flatbuffer(path)
    try:
        flatbuffer = schema.content(path)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    if flatbuffer[4:8] != fb.IDENTIFIER:
        raise ModelFileError(f"{path}: not a TFLite flatbuffer (it has no TFL3 mark)")
    found = census.operators(flatbuffer, path)
    try:
        model = fb.unpack(flatbuffer)
        graph = model.subgraphs[0]
        inputs = [graph.tensors[index] for index in graph.inputs]
        outputs = [graph.tensors[index] for index in graph.outputs]
        layers = _layers(model, graph)
        grouped = any(_is_grouped(model, graph, operator) for operator in graph.operators)
        shapes = [tuple(int(side) for side in tensor.shape) for tensor in (*inputs, *outputs)]
        input_name = inputs[0].name.decode() if inputs else ""
    except Exception as error:  # a damaged file can break the reader anywhere
        raise ModelFileError(f"{path}: damaged flatbuffer ({one_line(error, 160)})") from error
    if len(inputs) != 1 or len(outputs) != 1 or len(shapes[0]) != 4:
        raise ModelFileError(f"{path}: not a classifier of pictures: its inputs and outputs are {str(shapes)[:200]}")
    classes = math.prod(shapes[1])
    if not all(1 <= side <= MOST_SIDE for side in shapes[0]) or not 1 <= classes <= MOST_CLASSES:
        raise ModelFileError(
            f"{path}: its input and output are {shapes}: pictures have at most {MOST_SIDE} pixels a side here, and "
            f"{MOST_CLASSES:,} classes are the most"
        )
    digest = hashlib.sha256(flatbuffer).hexdigest()
    # Results are text, names of files any bytes.
    name = name.encode(errors="replace").decode()
    return Model(path, name, digest, input_name, shapes[0], classes, tuple(found), layers, grouped)


def _is_grouped(model, graph, operator) -> bool:
    if fb.operator_type(model, operator) != census.BINARY_CONVOLUTION:
        return False
    # 32 channels in a word: of the picture, and of one group.
    picture, filters = (graph.tensors[operator.inputs[index]].shape for index in (0, 1))
    return int(filters[3]) < int(picture[3])
