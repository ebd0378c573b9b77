"""The model zoo: named models, published weights and recipes.

Each model is a name and a configuration. Recipes, results and weights are data files in the same folder. Importing the
zoo does not load TensorFlow; building a model does.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import re
from pathlib import Path

from ftbnn_larq.files import read_json
from ftbnn_larq.models.config import ResNetConfig
from ftbnn_larq.recipe import Recipe, read
from ftbnn_larq.zoo import register
from ftbnn_larq.zoo.register import entry, published
from ftbnn_larq.zoo.register import published_weights as published_weights

HERE = Path(__file__).parent

# Binary 3x3 convolutions in each stage: two for every basic block of the ResNet.
R18 = (4, 4, 4, 4)
R34 = (6, 8, 12, 6)

ANCESTOR = {"nonlinearity": "identity"}
BASELINE = {"nonlinearity": "fprelu"}
PURE = {**BASELINE, "stem": "light", "shortcut": "pool", "transition": "before"}
GROUPED = {**PURE, "widening": (1.5, 1.5, 3.0, 3.0), "group_channels": (32, 64, 64, 256), "shuffle": "butterfly"}


@register.model(ResNetConfig(R18, **ANCESTOR))
def bireal_r18():
    """Bi-Real ResNet-18, the ancestor: no non-linearity, float shortcuts, float stem

    Every binary 3x3 convolution has its own shortcut. Between the convolution and the add there is only a batch norm.
    Three parts have full precision: the 7x7 stem, the 1x1 convolutions in the three shortcuts that halve the
    resolution, and the classifier.
    """


@register.model(ResNetConfig(R18, **BASELINE))
def ftbnn_r18_baseline():
    """FTBNN ResNet-18, first step: the ancestor with a tuned non-linearity

    A PReLU with two learned slopes per channel follows each batch norm. The slopes start at (1, 0), as a ReLU.
    """


@register.model(ResNetConfig(R18, **PURE))
def ftbnn_r18_pure():
    """FTBNN ResNet-18, second step: the baseline after binary purification

    A light stem (3x3, depthwise 3x3, 1x1) replaces the float 7x7 stem. Where a stage begins, an average pool whose
    channels are repeated, with a batch norm, replaces the shortcut's float 1x1 convolution. The pool stands before the
    first unit of the stage, so this unit sees each channel with several thresholds. No other convolution is float. For
    small pictures the stem is a 3x3 with half the width, whose channels are repeated in the same way.
    """


@register.model(ResNetConfig(R18, **GROUPED))
def ftbnn_r18():
    """FTBNN ResNet-18, the whole idea: purified, then widened in groups

    The first two stages have 1.5 times the channels of the ancestor, the last two have 3 times. Their binary
    convolutions run in groups. At full width they cost 3 % more than those of the ancestor. Within a stage, groups
    exchange channels, so that every group gets information from all others. Most binary weights are in the last stage,
    where they cost the fewest operations.
    """


@register.model(ResNetConfig(R34, **ANCESTOR))
def bireal_r34():
    """Bi-Real ResNet-34, the ancestor: no non-linearity, float shortcuts, float stem

    Every binary 3x3 convolution has its own shortcut. Between the convolution and the add there is only a batch norm.
    Three parts have full precision: the 7x7 stem, the 1x1 convolutions in the three shortcuts that halve the
    resolution, and the classifier.
    """


@register.model(ResNetConfig(R34, **BASELINE))
def ftbnn_r34_baseline():
    """FTBNN ResNet-34, first step: the ancestor with a tuned non-linearity

    A PReLU with two learned slopes per channel follows each batch norm. The slopes start at (1, 0), as a ReLU.
    """


@register.model(ResNetConfig(R34, **PURE))
def ftbnn_r34_pure():
    """FTBNN ResNet-34, second step: the baseline after binary purification

    A light stem (3x3, depthwise 3x3, 1x1) replaces the float 7x7 stem. Where a stage begins, an average pool whose
    channels are repeated, with a batch norm, replaces the shortcut's float 1x1 convolution. The pool stands before the
    first unit of the stage, so this unit sees each channel with several thresholds. No other convolution is float. For
    small pictures the stem is a 3x3 with half the width, whose channels are repeated in the same way.
    """


@register.model(ResNetConfig(R34, **GROUPED))
def ftbnn_r34():
    """FTBNN ResNet-34, the whole idea: purified, then widened in groups

    The first two stages have 1.5 times the channels of the ancestor, the last two have 3 times. Their binary
    convolutions run in groups. At full width they cost 7 % less than those of the ancestor. Within a stage, groups
    exchange channels, so that every group gets information from all others. Most binary weights are in the last stage,
    where they cost the fewest operations.
    """


def list_models(pattern: str = "*") -> list[str]:
    """Names of the zoo's models, sorted.

    Arguments:
        pattern: a shell pattern that the names must match, such as `"*r18*"`.
    """
    return sorted(fnmatch.filter(register.MODELS, pattern))


def create_model(name: str, **arguments):
    """Build the model called `name`.

    Arguments:
        name: a name in `list_models()`.
        **arguments: input_shape, input_tensor, weights, include_top, num_classes and options, as for the model's own
            function, such as `zoo.ftbnn_r18`.

    Returns:
        A Keras model from pictures (N, height, width, channels) to probabilities (N, num_classes), or to features
            (N, h, w, c) without the top.

    Raises:
        ConfigError: pictures are too small for the network, LCE cannot pack the width or the groups, no such weights
            are published, or they are for other classes or pictures.
        ModelFileError: the weights file is damaged, or of another network.
        UnknownNameError: a model, option or non-linearity does not exist. The message gives the nearest names.
    """
    return entry(name).factory(**arguments)


def is_reference(text: str | os.PathLike) -> bool:
    """Whether `text` has the form NAME:DATASET and is not an existing path."""
    return ":" in str(text) and not Path(text).exists()


def published_flatbuffer(reference: str | os.PathLike) -> Path:
    """Path of the published flatbuffer for NAME:DATASET; anything else, such as a file that exists, is one already.

    Raises:
        ConfigError: nothing is published for DATASET.
        ModelFileError: the file is missing or not the published one.
    """
    name, _, dataset = str(reference).partition(":")
    known = is_reference(reference) and name in register.MODELS
    return published(name, dataset, ".tflite") if known else Path(reference)


def pretrained(name: str, dataset: str):
    """Load a published network.

    Returns:
        The Keras model with its weights, and the description of its data set (the fields of `DataConfig`).

    Raises:
        UnknownNameError: there is no such model.
        ConfigError: nothing is published for that data set.
        ModelFileError: the file is missing or not the published one.
    """
    from ftbnn_larq.models.weights import read_description

    return create_model(name, weights=dataset), dataclasses.asdict(read_description(published(name, dataset)).data)


def recipe_for(dataset: str, *, finetune: bool = False) -> Recipe:
    """The recipe for a data set: its own if there is one, else the default recipe.

    Arguments:
        dataset: name of the data set; a version or configuration of TFDS after it is ignored.
        finetune: whether a trained network is the start: there is one recipe for that, whatever the data set.
    """
    own = HERE / "recipes" / f"{'finetune' if finetune else re.split('[/:]', dataset)[0]}.toml"
    return read(own if own.is_file() else HERE / "recipes" / "default.toml")


def costs() -> dict[str, dict]:
    """Costs of every model at 224x224 and 1,000 classes, by name, as stored in results/costs.json.

    OPs and MACs are multiply-accumulates for one picture, `weights_bytes` is in bytes.
    """
    return read_json(HERE / "results" / "costs.json")
