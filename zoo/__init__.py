"""The named models. What varies is a row of configuration; recipes, results and weights lie beside as plain data.

Reading the table costs nothing: TensorFlow is loaded when a model is built.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ftbnn_larq.config import ResNetConfig
from ftbnn_larq.errors import ConfigError, UnknownNameError

HERE = Path(__file__).parent

R18 = (4, 4, 4, 4)


class Entry(NamedTuple):
    config: ResNetConfig
    factory: Callable
    summary: str


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
            num_classes: int = 1000,
            **options,
        ):
            from ftbnn_larq import resnet

            if weights is not None and not Path(weights).is_file():
                raise ConfigError(
                    f"{name} has no published weights {weights!r}: pass None, or the path of a .weights.h5 file"
                )
            model = resnet.build(
                config.replace(**options),
                input_shape=input_shape,
                input_tensor=input_tensor,
                include_top=include_top,
                num_classes=num_classes,
                name=name,
            )
            if weights is not None:
                from ftbnn_larq.runs import load_weights

                load_weights(model, weights)
            return model

        factory.__name__ = factory.__qualname__ = name
        factory.__doc__ = function.__doc__ + _ARGUMENTS
        _MODELS[name] = Entry(config, factory, function.__doc__.strip().splitlines()[0])
        return factory

    return enter


_ARGUMENTS = """

    Arguments (keyword-only, as in keras.applications):
        input_shape: (height, width, channels); (224, 224, 3) unless given.
        input_tensor: a Keras tensor to build upon, in place of input_shape.
        weights: None (random), or the path of a .weights.h5 file.
        include_top: end in probabilities (N, num_classes) in float32, else in features (N, h, w, c).
        num_classes: classes to tell apart.
        **options: fields of ResNetConfig to change: width, nonlinearity, slopes, ...

    Raises:
        ConfigError: a picture smaller than the network's stride, a width LCE cannot pack, weights that don't fit.
        UnknownNameError: an option or a non-linearity that does not exist.
"""


@_model(ResNetConfig(units=R18))
def ftbnn_r18():
    """ResNet-18 of binary convolutions, each with a shortcut and a two-slope PReLU"""


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


def costs() -> dict[str, dict]:
    """Counted costs of every model at 224x224 and 1,000 classes, as `python -m ftbnn_larq.zoo` wrote them."""
    return json.loads((HERE / "results" / "costs.json").read_text())
