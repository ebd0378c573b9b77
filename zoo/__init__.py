"""The named models. What varies is a row of configuration; recipes, results and weights lie beside as plain data.

Reading the table costs nothing: TensorFlow is loaded when a model is built.
"""

from __future__ import annotations

import fnmatch
import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ftbnn_larq.errors import ConfigError, ModelFileError, UnknownNameError
from ftbnn_larq.files import read_json, sha256
from ftbnn_larq.models.config import ResNetConfig
from ftbnn_larq.recipe import Recipe, read

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"
CHECKSUMS = "sha256.json"

# Binary 3x3 convolutions in each stage: two for every basic block of the ResNet.
R18 = (4, 4, 4, 4)
R34 = (6, 8, 12, 6)


class Entry(NamedTuple):
    config: ResNetConfig
    factory: Callable
    summary: str
    description: str


_MODELS: dict[str, Entry] = {}


def _model(config: ResNetConfig):
    """Enter a model under its function's name; the first line of its docstring is its summary."""

    def enter(function):
        name = function.__name__

        def factory(
            *,
            input_shape=None,
            input_tensor=None,
            weights: str | None = None,
            include_top: bool = True,
            num_classes: int | None = None,
            **options,
        ):
            from ftbnn_larq.models import resnet
            from ftbnn_larq.models.weights import load_weights, read_description

            file = None if weights is None else _weights_file(name, weights)
            if file is not None and file.suffix == ".npz":
                theirs = read_description(file)["model"]
                if theirs["name"] != name:
                    raise ModelFileError(f"{file}: weights of {theirs['name']}, not of {name}")
                options = {**theirs["options"], **options}
                input_shape = input_shape or (None if input_tensor is not None else tuple(theirs["input_shape"]))
                num_classes = num_classes or theirs["classes"]
            model = resnet.build(
                config.replace(**options),
                input_shape=input_shape,
                input_tensor=input_tensor,
                include_top=include_top,
                num_classes=1000 if num_classes is None else num_classes,
                name=name,
            )
            if file is not None:
                load_weights(model, file)
            return model

        factory.__name__ = factory.__qualname__ = name
        factory.__doc__ = inspect.cleandoc(function.__doc__) + _ARGUMENTS
        summary, _, description = inspect.cleandoc(function.__doc__).partition("\n\n")
        _MODELS[name] = Entry(config, factory, summary, description)
        return factory

    return enter


_ARGUMENTS = """

    Arguments (keyword-only, as in keras.applications):
        input_shape: (height, width, channels); (224, 224, 3) unless given.
        input_tensor: a Keras tensor to build upon, in place of input_shape.
        weights: None (random), the name of a data set that weights are published for, or the path of a .weights.h5 or
            .npz file. Published ones say what network they are of: shape, classes and options need not be given.
        include_top: end in probabilities (N, num_classes) in float32, else in features (N, h, w, c).
        num_classes: classes to tell apart; 1,000 unless given.
        **options: fields of `config.ResNetConfig` to change: width, nonlinearity, slopes, ...

    Raises:
        ConfigError: a picture smaller than the network's stride, a width or groups that LCE cannot pack, weights that
            are not published.
        ModelFileError: a weights file that is damaged, or of another network.
        UnknownNameError: an option or a non-linearity that does not exist.
"""


ANCESTOR = {"nonlinearity": "identity"}
BASELINE = {"nonlinearity": "fprelu"}
PURE = {**BASELINE, "stem": "light", "shortcut": "pool", "transition": "before"}
GROUPED = {**PURE, "widening": (1.5, 1.5, 3.0, 3.0), "group_channels": (32, 64, 64, 256), "shuffle": "butterfly"}


@_model(ResNetConfig(R18, **ANCESTOR))
def bireal_r18():
    """Bi-Real ResNet-18, the ancestor: no non-linearity, float shortcuts, float stem

    One shortcut around every binary 3x3 convolution, and nothing but a batch norm between convolution and sum. Full
    precision are the 7x7 stem, the three 1x1 convolutions where the resolution halves, and the classifier.
    """


@_model(ResNetConfig(R18, **BASELINE))
def ftbnn_r18_baseline():
    """FTBNN ResNet-18, first step: the ancestor with a tuned non-linearity

    Behind each batch norm stands a two-slope PReLU, both slopes learned per channel from (1, 0): it begins as a ReLU.
    """


@_model(ResNetConfig(R18, **PURE))
def ftbnn_r18_pure():
    """FTBNN ResNet-18, second step: the baseline after binary purification

    The float 7x7 stem gives way to a light one (3x3, depthwise 3x3, 1x1), the float 1x1 shortcuts to an average pool
    whose channels are repeated under a batch norm. It stands before the stage, so that the first unit reads the signs
    of each channel at several thresholds. No other convolution is float. For small pictures the stem is a 3x3 of half
    the width, repeated likewise.
    """


@_model(ResNetConfig(R18, **GROUPED))
def ftbnn_r18():
    """FTBNN ResNet-18, the whole idea: purified, then widened in groups

    The first two stages have one and a half times the ancestor's channels, the others three times; their binary
    convolutions run in groups, which at full width cost 3 % more than the ancestor's. Within a stage each group hears
    of all others. Most binary weights are in the last stage, where they cost the fewest operations.
    """


@_model(ResNetConfig(R34, **ANCESTOR))
def bireal_r34():
    """Bi-Real ResNet-34, the ancestor: no non-linearity, float shortcuts, float stem

    One shortcut around every binary 3x3 convolution, and nothing but a batch norm between convolution and sum. Full
    precision are the 7x7 stem, the three 1x1 convolutions where the resolution halves, and the classifier.
    """


@_model(ResNetConfig(R34, **BASELINE))
def ftbnn_r34_baseline():
    """FTBNN ResNet-34, first step: the ancestor with a tuned non-linearity

    Behind each batch norm stands a two-slope PReLU, both slopes learned per channel from (1, 0): it begins as a ReLU.
    """


@_model(ResNetConfig(R34, **PURE))
def ftbnn_r34_pure():
    """FTBNN ResNet-34, second step: the baseline after binary purification

    The float 7x7 stem gives way to a light one (3x3, depthwise 3x3, 1x1), the float 1x1 shortcuts to an average pool
    whose channels are repeated under a batch norm. It stands before the stage, so that the first unit reads the signs
    of each channel at several thresholds. No other convolution is float. For small pictures the stem is a 3x3 of half
    the width, repeated likewise.
    """


@_model(ResNetConfig(R34, **GROUPED))
def ftbnn_r34():
    """FTBNN ResNet-34, the whole idea: purified, then widened in groups

    The first two stages have one and a half times the ancestor's channels, the others three times; their binary
    convolutions run in groups, which at full width cost 7 % less than the ancestor's. Within a stage each group hears
    of all others. Most binary weights are in the last stage, where they cost the fewest operations.
    """


def list_models(pattern: str = "*") -> list[str]:
    """The names of the zoo's models, those that fit a shell pattern such as "*r18*"."""
    return sorted(fnmatch.filter(_MODELS, pattern))


def entry(name: str) -> Entry:
    """The row of the model called `name`. Raises UnknownNameError with the nearest names."""
    if name not in _MODELS:
        raise UnknownNameError("model", name, _MODELS)
    return _MODELS[name]


def create_model(name: str, **arguments):
    """Build the model called `name`; the arguments are those of its function, e.g. `zoo.ftbnn_r18`."""
    return entry(name).factory(**arguments)


def published_weights(name: str) -> list[str]:
    """The data sets that weights of a model are published for."""
    return sorted(path.stem.split("-", 1)[1] for path in WEIGHTS.glob(f"{name}-*.npz"))


def published(name: str, dataset: str, suffix: str = ".npz") -> Path:
    """A published file, checked: .npz (weights), .tflite (flatbuffer) or .json (what it is and what it was proven by).

    Raises:
        UnknownNameError: no such model.
        ConfigError: nothing is published for that data set; the message says for which something is.
        ModelFileError: the file is not the one that was published.
    """
    entry(name)
    known = published_weights(name)
    if dataset not in known:
        raise ConfigError(
            f"{name} has no published weights {dataset!r} (published: {', '.join(known) or 'none'}): name a file of "
            f"your own, or train one with `ftbnn-larq train {name}`"
        )
    path = WEIGHTS / f"{name}-{dataset}{suffix}"
    wanted = read_json(WEIGHTS / CHECKSUMS).get(path.name)
    if not path.is_file() or sha256(path) != wanted:
        raise ModelFileError(
            f"{path}: its SHA-256 is not that of the published file, {wanted}: install the package anew"
        )
    return path


def is_reference(text: str | os.PathLike) -> bool:
    """Whether that is written as NAME:DATASET, and is no path."""
    return ":" in str(text) and not Path(text).exists()


def published_flatbuffer(reference: str | os.PathLike) -> Path:
    """The flatbuffer that NAME:DATASET stands for; what is no such reference is given back as a path."""
    name, colon, dataset = str(reference).partition(":")
    return published(name, dataset, ".tflite") if colon and name in _MODELS else Path(reference)


def pretrained(name: str, dataset: str):
    """A published network with its weights, and the document of its data set. Raises as `published` does."""
    from ftbnn_larq.models.weights import read_description

    return create_model(name, weights=dataset), read_description(published(name, dataset))["data"]


def _weights_file(name: str, weights: str) -> Path:
    return (
        Path(weights)
        if weights not in published_weights(name) and Path(weights).is_file()
        else published(name, weights)
    )


def recipe_for(dataset: str) -> Recipe:
    """The recipe for a data set of any version and configuration: its own, or the default one."""
    own = HERE / "recipes" / f"{re.split('[/:]', dataset)[0]}.toml"
    return read(own if own.is_file() else HERE / "recipes" / "default.toml")


def costs() -> dict[str, dict]:
    """Counted costs of every model at 224x224 and 1,000 classes, as `python -m benchmarks.tables` wrote them."""
    return read_json(HERE / "results" / "costs.json")
