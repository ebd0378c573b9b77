"""ftbnn-larq evaluate"""

from __future__ import annotations

from pathlib import Path

import click

from ftbnn_larq.cli.options import ModelFile, board_options, engine_option, opener, preprocessing_option
from ftbnn_larq.cli.output import emit, json_option, load_tensorflow, newest_flatbuffer, newest_run, progress, say

BATCH_ON_BOARD = 32


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
    runner = opener(path, on, to, engine, say)
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

    emit(as_json, {**result, "on": on} if on else result, show)
