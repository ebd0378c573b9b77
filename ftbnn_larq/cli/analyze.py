"""ftbnn-larq analyze"""

from __future__ import annotations

from pathlib import Path

import click

from ftbnn_larq.cli.output import RUNS, emit, json_option, load_tensorflow, say, table


@click.group()
def analyze():
    """Questions to a trained network."""


@analyze.command()
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--pictures", type=click.IntRange(min=2), default=64, show_default=True, help="Of the test split.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The picture.  [default: linearity.png in the run]"
)
@json_option
def linearity(run: Path | None, pictures: int, output: Path | None, as_json: bool):
    """How linear a binarized convolution is, under each scale and behind each non-linearity.

    \b
    Example:
      ftbnn-larq analyze linearity runs/ftbnn_r18-digits-20260102-030405
    """
    from ftbnn_larq import runs

    if run is None:
        run = _newest()
    opened = runs.open_run(run) if run else None
    if opened:
        opened.check_weights()
    load_tensorflow()
    import numpy as np

    from ftbnn_larq.analysis import figures
    from ftbnn_larq.analysis.linearity import linearity as measure
    from ftbnn_larq.data import DataConfig, load, pipeline

    if opened:
        config = DataConfig.from_json(opened.config["data"])
        data, model = load(config.name, data_dir=config.data_dir, config=config), opened.load_model()
    else:
        data, model = _untrained()
    batches = pipeline.batches(data.test, data.config, pictures).as_numpy_iterator()
    sample = np.asarray(next(batches)[0])
    result = measure(model, sample)
    output = output or (run / "linearity.png" if run else Path("linearity.png"))
    state = "trained" if run else "random, untrained"
    figures.draw_linearity(result, output, f"{model.name}, {state}, {len(sample)} pictures of {data.config.name}")
    document = {
        "run": str(run) if run else None,
        "model": model.name,
        "trained": bool(run),
        "dataset": data.config.name,
        "pictures": len(sample),
        "picture": str(output),
        **result,
    }

    def show():
        rows = [[row["name"], f"{row['error']:.3g}", f"{row['linearity']:.3f}"] for row in result["scales"]]
        table(f"{model.name} ({state}) on {data.config.name}", ["scale", "error", "linearity"], rows)
        rows = [[row["name"], f"{row['linearity']:.3f}"] for row in result["nonlinearities"]]
        if rows:
            table(
                "behind the batch norm; slopes at their start values, but for those as trained",
                ["non-linearity", "linearity"],
                rows,
            )
        click.echo(result["measure"])
        click.echo(result["verdict"])
        click.echo(f"picture: {output}")

    emit(as_json, document, show)


def _newest() -> Path | None:
    from ftbnn_larq import runs
    from ftbnn_larq.errors import RunError

    try:
        run = runs.newest(RUNS, lambda folder: (folder / runs.RESULT).is_file(), "finished run")
    except RunError:
        say("there is no run: taking a random, UNTRAINED ftbnn_r18 of width 16; train one for figures that mean more")
        return None
    say(f"taking the newest run, {run}")
    return run


def _untrained():
    import tensorflow as tf

    from ftbnn_larq import zoo
    from ftbnn_larq.data import load

    data = load("digits")
    tf.keras.utils.set_random_seed(1)
    shape = data.config.input_shape
    return data, zoo.create_model("ftbnn_r18", input_shape=shape, num_classes=len(data.config.labels), width=16)
