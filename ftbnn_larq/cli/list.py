"""ftbnn-larq list"""

from __future__ import annotations

import click

from ftbnn_larq.cli.output import emit, human, human_bytes, json_option, table


@click.command("list")
@click.argument("pattern", default="*")
@json_option
def list_models(pattern: str, as_json: bool):
    """The models of the zoo, or those that fit PATTERN; costs at 224x224 and 1,000 classes.

    \b
    Example:
      ftbnn-larq list "*r18*"
    """
    from ftbnn_larq import zoo

    costs = zoo.costs()
    rows = [
        {
            "name": name,
            "summary": zoo.entry(name).summary,
            "weights": zoo.published_weights(name),
            **costs.get(name, {}),
        }
        for name in zoo.list_models(pattern)
    ]

    def cost(row) -> list[str]:
        if "ops" not in row:
            return ["?"] * 6
        numbers = [row["ops"], *row["macs"].values(), *row["params"].values()]
        return [*map(human, numbers), human_bytes(row["weights_bytes"])]

    def show():
        cells = [[row["name"], *cost(row), ", ".join(row["weights"]) or "-", row["summary"]] for row in rows]
        columns = ["model", "OPs", "BOPs", "FLOPs", "binary params", "float params", "size", "weights", "summary"]
        table("", columns, cells)

    emit(as_json, rows, show)
