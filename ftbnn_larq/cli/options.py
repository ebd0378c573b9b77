"""Options that several commands share."""

from __future__ import annotations

import functools

import click

from ftbnn_larq.cli.output import say, sending
from ftbnn_larq.data import preprocessing
from ftbnn_larq.errors import short
from ftbnn_larq.models.config import NONLINEARITIES, option_from_text

# The folder of a board's home in which a classifier stands.
DEPLOYED = "ftbnn"


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


def board_options(command):
    """Where a flatbuffer runs instead of here: `on`, and `to`, the folder of what is deployed there."""

    @click.option(
        "--on",
        help="Run the .tflite file on a board: ssh:[user@]host[:port], or local for this machine as a board is.  "
        "[default: here]",
    )
    @to_option
    @functools.wraps(command)
    def with_board(*arguments, **options):
        return command(*arguments, **options)

    return with_board


def opener(file, on: str | None, to: str, engine: str | None):
    """What opens a flatbuffer on a board, for `runner` of `evaluate` and `predict`; None without a board."""
    if on is None:
        if to != DEPLOYED:
            raise click.UsageError(f"--to {short(to, 80)} names a folder on a board: say which one with --on")
        return None
    from ftbnn_larq.boards import deployment

    deployment.check(on, to)
    deployment.check_network(file, engine)
    return functools.partial(deployment.on_board, on=on, to=to, told=deployment.Told(say, sending))


to_option = click.option(
    "--to", default=DEPLOYED, show_default=True, metavar="FOLDER", help="On the board, from its home: what is deployed."
)


class ModelFile(click.ParamType):
    """A path, or NAME:DATASET for the flatbuffer that the zoo publishes."""

    name = "file"

    def convert(self, value, param, ctx):
        from ftbnn_larq import zoo

        return zoo.published_flatbuffer(value)
