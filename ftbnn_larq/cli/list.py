"""ftbnn-larq list"""

from __future__ import annotations

import fnmatch

import click

from ftbnn_larq.cli.output import emit, human, human_bytes, json_option, table


@click.command("list")
@click.argument("pattern", default="*")
@json_option
def list_models(pattern: str, as_json: bool):
    """The models of the zoo and of larq-zoo, or those that fit PATTERN, and the trained ones to begin with.

    Costs are for 224x224 and 1,000 classes. A trained network is NAME:WEIGHTS, such as larq_zoo:QuickNet:imagenet, for
    predict, evaluate, convert, benchmark, deploy, analyze, and train with --init-from or --teacher.

    \b
    Example:
      ftbnn-larq list "*r18*"
    """
    from ftbnn_larq import zoo
    from ftbnn_larq.errors import UnknownNameError
    from ftbnn_larq.zoo import imagenet, peers

    ours = [_ours(name) for name in zoo.list_models() if _fits(name, zoo.published_weights(name), pattern)]
    theirs = [_theirs(name) for name in peers.NAMES if _fits(name, [imagenet.WEIGHTS], pattern)]
    if not ours and not theirs:
        raise UnknownNameError("model", pattern, [*zoo.list_models(), *peers.NAMES])

    def cost(row) -> list[str]:
        if "ops" not in row:
            return ["?"] * 6
        numbers = [row["ops"], *row["macs"].values(), *row["params"].values()]
        return [*map(human, numbers), human_bytes(row["weights_bytes"])]

    def show():
        if ours or not theirs:
            columns = ["model", "OPs", "BOPs", "FLOPs", "binary params", "float params", "size", "weights", "summary"]
            cells = [[row["name"], *cost(row), ", ".join(row["weights"]) or "-", row["summary"]] for row in ours]
            table("", columns, cells)
        trained = [
            [f"{row['name']}:{name}", f"{top1:.1%}", row["top1_by"]]
            for row in [*ours, *theirs]
            for name, top1 in row["top1"].items()
        ]
        if trained:
            table("trained networks", ["NAME:WEIGHTS", "top-1", "as measured by"], trained)

    emit(as_json, [*ours, *theirs], show)


def _fits(name: str, weights: list[str], pattern: str) -> bool:
    """Whether the name of a model fits, or NAME:WEIGHTS of what is trained of it."""
    return bool(fnmatch.filter([name, *(f"{name}:{each}" for each in weights)], pattern))


def _ours(name: str) -> dict:
    from ftbnn_larq import zoo
    from ftbnn_larq.models.weights import read_description

    published = zoo.published_weights(name)
    return {
        "name": name,
        "summary": zoo.entry(name).summary,
        "weights": published,
        "top1": {dataset: read_description(zoo.published(name, dataset)).keras["top1"] for dataset in published},
        "top1_by": "ftbnn-larq",
        **zoo.costs().get(name, {}),
    }


def _theirs(name: str) -> dict:
    from ftbnn_larq.zoo import imagenet, peers

    return {
        "name": name,
        "summary": "of larq-zoo",
        "weights": [imagenet.WEIGHTS],
        "top1": {imagenet.WEIGHTS: peers.PUBLISHED_TOP1[name]},
        "top1_by": "larq-zoo",
    }
