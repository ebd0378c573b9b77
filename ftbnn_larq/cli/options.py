"""Options that several commands share."""

from __future__ import annotations

import functools

import click

from ftbnn_larq.data import preprocessing
from ftbnn_larq.models.config import NONLINEARITIES, option_from_text


def model_options(command):
    """The options that change a model's configuration, gathered in the argument `options`."""

    @click.option("--width", type=int, help="Channels of the first stage; a multiple of 16.")
    @click.option("--nonlinearity", help=f"Of every unit: {', '.join(NONLINEARITIES)}.")
    @click.option(
        "--set",
        "others",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Any other field of the model's configuration, e.g. slopes=1,-0.5 or shortcut=float; can be repeated.",
    )
    @functools.wraps(command)
    def gathered(*arguments, width, nonlinearity, others, **rest):
        options = {"width": width, "nonlinearity": nonlinearity}
        options = {name: value for name, value in options.items() if value is not None}
        return command(*arguments, options={**options, **dict(map(option_from_text, others))}, **rest)

    return gathered


def preprocessing_option(default: str):
    """The option `preprocessing`; `default` says what is taken unless it is given."""
    text = f"{preprocessing.HELP}  [default: {default}]"
    return click.option("--preprocessing", metavar="NAME", help=text)


engine_option = click.option(
    "--engine",
    metavar="NAME",
    help="What runs a .tflite file: ftbnn is ftbnn-runtime in TFLite's interpreter, lce LCE's interpreter.  "
    "[default: ftbnn]",
)


class ModelFile(click.ParamType):
    """A path, or NAME:DATASET for the flatbuffer that the zoo publishes."""

    name = "file"

    def convert(self, value, param, ctx):
        from ftbnn_larq import zoo

        return zoo.published_flatbuffer(value)
