"""ftbnn-larq summary"""

from __future__ import annotations

import click

from ftbnn_larq.cli.output import emit, human, human_bytes, json_option, load_tensorflow, table
from ftbnn_larq.cli.train import model_options


@click.command()
@click.argument("model")
@click.option("--input-size", default=224, show_default=True, help="Side of the square picture, in pixels.")
@click.option("--classes", default=1000, show_default=True, help="Classes to tell apart.")
@model_options
@json_option
def summary(model: str, input_size: int, classes: int, options: dict, as_json: bool):
    """What MODEL costs, layer by layer: parameters, multiply-accumulates, OPs = FLOPs + BOPs/64.

    \b
    Example:
      ftbnn-larq summary ftbnn_r18 --input-size 32 --classes 10 --width 16
    """
    from ftbnn_larq import zoo
    from ftbnn_larq.errors import ConfigError

    zoo.entry(model).config.replace(**options)
    if input_size < 1:
        raise ConfigError(f"input size {input_size}: a picture has at least 1 pixel")
    load_tensorflow()
    from ftbnn_larq.analysis.counts import count

    network = zoo.create_model(model, input_shape=(input_size, input_size, 3), num_classes=classes, **options)
    document = count(network)

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
        table(f"{model} at {input_size}x{input_size}, {classes} classes", columns, [*rows, total])
        click.echo(f"weights: {human_bytes(document['weights_bytes'])}; OPs = float MACs + binary MACs / 64")

    emit(as_json, document, show)
