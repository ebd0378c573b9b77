"""ftbnn-larq compare"""

from __future__ import annotations

import click

from ftbnn_larq.cli.models import counted, find, size_options, tell_uncounted
from ftbnn_larq.cli.options import model_options
from ftbnn_larq.cli.output import emit, human, human_bytes, json_option, load_tensorflow, progress, table

PEERS = ("BiRealNet", "RealToBinaryNet", "QuickNetSmall", "QuickNet", "QuickNetLarge", "MeliusNet22")
DEFAULT = ("*_r18*", *(f"larq_zoo:{name}" for name in PEERS))


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@size_options
@model_options
@json_option
def compare(models: tuple[str, ...], input_size: int, classes: int, options: dict, as_json: bool):
    """What each MODEL costs, side by side; the last column is its OPs over those of the first.

    MODEL is a name of the zoo, a shell pattern, larq_zoo:NAME for a model of larq-zoo, or keras:NAME for a float model
    of tf.keras.applications; without one, the zoo's at the depth of ResNet-18 and larq-zoo's Bi-Real Net,
    Real-to-Binary, QuickNet and MeliusNet. Options that change a model apply to the zoo's own, and the width to
    larq-zoo's Bi-Real Net and Real-to-Binary too.

    \b
    Example:
      ftbnn-larq compare "ftbnn_*" larq_zoo:QuickNet --input-size 96
      ftbnn-larq compare keras:MobileNetV3Small ftbnn_r18
    """
    names = find(models or DEFAULT, options)
    load_tensorflow()
    documents = []
    with progress("building and counting") as (length, advance):
        length(len(names))
        for name in names:
            document = counted(name, input_size, classes, options)
            document.pop("layers")
            ratio = document["ops"] / (documents[0] if documents else document)["ops"]
            documents.append({**document, "ops_ratio": ratio})
            advance(1)

    def show():
        rows = []
        for document in documents:
            numbers = [document["ops"], *document["macs"].values(), *document["params"].values()]
            size, ratio = human_bytes(document["weights_bytes"]), f"{document['ops_ratio']:.2f}"
            rows.append([document["name"], *map(human, numbers), size, ratio])
        columns = ["model", "OPs", "BOPs", "FLOPs", "binary params", "float params", "weights", "OPs ratio"]
        changes = "".join(f", {name} {value}" for name, value in options.items())
        table(f"{input_size}x{input_size}, {classes} classes{changes}", columns, rows)
        click.echo("BOPs: binary MACs; FLOPs: float MACs; OPs = FLOPs + BOPs / 64; weights: 1 bit a binary parameter")
        for document in documents:
            tell_uncounted(document)

    emit(as_json, documents, show)
