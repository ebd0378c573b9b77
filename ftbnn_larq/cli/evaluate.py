"""ftbnn-larq evaluate"""

from __future__ import annotations

from pathlib import Path

import click

from ftbnn_larq.cli.options import ModelFile
from ftbnn_larq.cli.output import emit, json_option, load_tensorflow, newest_run, progress


@click.command()
@click.argument("path", required=False, type=ModelFile())
@click.option("--dataset", help="Another data set with the same classes.  [default: the one it was trained on]")
@click.option("--data-dir", help="Where TFDS keeps its data sets.  [default: as in training]")
@json_option
def evaluate(path: Path | None, dataset: str | None, data_dir: str | None, as_json: bool):
    """Accuracy of a run (in Keras) or a .tflite file (in LCE) on the test split; NAME:DATASET is a published file.

    \b
    Example:
      ftbnn-larq evaluate runs/ftbnn_r18-digits-20260102-030405/model.tflite
      ftbnn-larq evaluate ftbnn_r18:cifar10 --data-dir DIR
    """
    from ftbnn_larq import data, runs
    from ftbnn_larq.inference.evaluation import evaluate as measure
    from ftbnn_larq.inference.sidecar import data_config_beside

    path = path or newest_run()
    # Refused before TensorFlow is loaded.
    if path.is_dir():
        runs.open_run(path)
    else:
        data_config_beside(path, needed=dataset is None)
    if dataset:
        data.check_name(dataset, data_dir)
    load_tensorflow()
    with progress("evaluating") as (on_start, on_batch):
        result = measure(path, dataset=dataset, data_dir=data_dir, on_start=on_start, on_batch=on_batch)

    def show():
        click.echo(f"{result['path']} on {result['examples']} pictures of {result['dataset']}:")
        click.echo(f"top-1 {result['top1']:.2%}  top-5 {result['top5']:.2%}")

    emit(as_json, result, show)
