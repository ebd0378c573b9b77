"""ftbnn-larq evaluate"""

from __future__ import annotations

from pathlib import Path

import click

from ftbnn_larq.cli.options import ModelFile, board_options, engine_option, opener, preprocessing_option
from ftbnn_larq.cli.output import (
    emit,
    json_option,
    load_tensorflow,
    newest_flatbuffer,
    newest_run,
    progress,
    say,
    table,
)
from ftbnn_larq.errors import short

BATCH_ON_BOARD = 32
# A larger matrix does not fit a terminal.
MOST_COLUMNS = 10
LINES = 5


@click.command()
@click.argument("path", required=False, type=ModelFile())
@click.option("--dataset", help="Another data set with the same classes.  [default: the one it was trained on]")
@click.option("--data-dir", help="Where TFDS keeps its data sets.  [default: as in training]")
@preprocessing_option("as in training; found by trying where that is not known")
@engine_option
@board_options
@json_option
def evaluate(
    path: Path | None,
    dataset: str | None,
    data_dir: str | None,
    preprocessing: str | None,
    engine: str | None,
    on: str | None,
    to: str,
    as_json: bool,
):
    """Accuracy of a run or a .keras file (in Keras) or a .tflite file (see --engine) on the test split.

    Top-1 and top-5, the classes with the lowest top-1, and which are taken for which most often. --json has all.

    NAME:DATASET is a published file, larq_zoo:NAME:imagenet a network of larq-zoo with its weights, in Keras. A .keras
    file needs --dataset.

    \b
    Example:
      ftbnn-larq evaluate runs/ftbnn_r18-digits-20260102-030405/model.tflite
      ftbnn-larq evaluate ftbnn_r18:cifar10 --data-dir DIR
      ftbnn-larq evaluate model.tflite --on ssh:pi@raspberrypi
    """
    from ftbnn_larq.inference import evaluation

    path = path or (newest_flatbuffer() if on else newest_run())
    asked = {"dataset": dataset, "data_dir": data_dir, "preprocessing": preprocessing, "engine": engine}
    evaluation.check(path, **asked)
    runner = opener(path, on, to, engine)
    # A board is slow, and the bar is to move.
    asked |= {"runner": runner, "batch_size": BATCH_ON_BOARD} if on else {}
    load_tensorflow()
    with progress("evaluating") as (on_start, on_batch):
        result = evaluation.evaluate(path, **asked, on_start=on_start, on_batch=on_batch, on_event=say)

    def show():
        where = {"keras": "Keras", "ftbnn": "ftbnn-runtime", "lce": "LCE"}[result["engine"]]
        where += f" on {on}" if on else ""
        click.echo(f"{result['path']} in {where}, on {result['examples']} pictures of {result['dataset']}:")
        click.echo(f"top-1 {result['top1']:.2%}  top-5 {result['top5']:.2%}")
        _show_classes(result["per_class"], result["confusion"])

    emit(as_json, {**result, "on": on} if on else result, show)


def _show_classes(per_class: list[dict], confusion: list[dict]) -> None:
    known = sorted((row for row in per_class if row["examples"]), key=lambda row: row["top1"])
    if not confusion:
        return
    worst = [f"{short(row['label'])} {row['top1']:.1%} of {row['examples']}" for row in known[:LINES]]
    click.echo(f"lowest top-1: {', '.join(worst)}")
    most = [
        f"{short(row['label'])} taken for {short(row['predicted'])} ({row['examples']})" for row in confusion[:LINES]
    ]
    click.echo(f"most frequent mistakes: {', '.join(most)}")
    if len(per_class) <= MOST_COLUMNS:
        counts = {(row["label"], row["predicted"]): row["examples"] for row in confusion}
        for row in per_class:
            counts[row["label"], row["label"]] = round((row["top1"] or 0) * row["examples"])
        labels = [row["label"] for row in per_class]
        rows = [[short(label), *(counts.get((label, answer), 0) for answer in labels)] for label in labels]
        table("", ["class", *map(short, labels)], rows)
        click.echo("rows: the pictures' classes; columns: the network's answers")
