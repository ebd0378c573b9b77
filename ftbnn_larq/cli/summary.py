"""ftbnn-larq summary"""

from __future__ import annotations

import shlex

import click

from ftbnn_larq.cli.models import counted, find, size_options, tell_uncounted
from ftbnn_larq.cli.options import model_options
from ftbnn_larq.cli.output import emit, human, human_bytes, json_option, load_tensorflow, table


@click.command()
@click.argument("model")
@size_options
@model_options
@json_option
def summary(model: str, input_size: int, classes: int, options: dict, as_json: bool):
    """What MODEL costs, layer by layer: parameters, multiply-accumulates, OPs = FLOPs + BOPs/64.

    MODEL is a name of the zoo, larq_zoo:NAME for a model of larq-zoo, or keras:NAME for one of tf.keras.applications.

    \b
    Example:
      ftbnn-larq summary ftbnn_r18 --input-size 32 --classes 10 --width 16
      ftbnn-larq summary larq_zoo:QuickNet
    """
    names = find((model,), options)
    if len(names) > 1:
        together = f"`ftbnn-larq compare {shlex.quote(model)}` shows them together"
        raise click.UsageError(f"{model} fits {len(names)} models; {together}")
    load_tensorflow()
    document = counted(names[0], input_size, classes, options)

    def show():
        def cells(row):
            params, macs = row["params"], row["macs"]
            numbers = (params["binary"], params["float"], macs["binary"], macs["float"], row["ops"])
            return [human(number) for number in numbers]

        rows = [
            [row["name"], row["type"], "x".join(map(str, row["output_shape"])), *cells(row)]
            for row in document["layers"]
            if row["ops"] or sum(row["params"].values())
        ]
        total = [document["name"], "in all", "", *cells(document)]
        columns = ["layer", "type", "output", "binary params", "float params", "binary MACs", "float MACs", "OPs"]
        table(f"{names[0]} at {input_size}x{input_size}, {classes} classes", columns, [*rows, total])
        click.echo(f"weights: {human_bytes(document['weights_bytes'])}; OPs = float MACs + binary MACs / 64")
        tell_uncounted(document)

    emit(as_json, document, show)
