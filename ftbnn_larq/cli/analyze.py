"""ftbnn-larq analyze"""

from __future__ import annotations

from pathlib import Path

import click

from ftbnn_larq.cli.output import emit, json_option, load_tensorflow, newest_run, progress, say, table


@click.group()
def analyze():
    """Questions put to a trained network.

    \b
    Example:
      ftbnn-larq analyze linearity
    """


@analyze.command()
@click.argument("run", required=False)
@click.option(
    "--pictures", type=click.IntRange(2), default=256, show_default=True, help="How many of the test split to look at."
)
@click.option("--data-dir", help="Where TFDS keeps its data sets.  [default: where the run had them]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The picture.  [default: linearity.png, in the run's folder or here]",
)
@json_option
def linearity(run: str | None, pictures: int, data_dir: str | None, output: Path | None, as_json: bool):
    """Does less quantization error make a binarized convolution more linear, as the paper says?

    Compares the binary convolutions of RUN, or of a published NAME:DATASET, with their full-precision ones under four
    scales and behind every non-linearity: a table, a picture and a verdict from the data.

    Without RUN the newest one is taken, or an untrained network where there is none.

    \b
    Example:
      ftbnn-larq analyze linearity runs/ftbnn_r18-digits-20260102-030405
      ftbnn-larq analyze linearity ftbnn_r18_pure:cifar10 --data-dir DIR
    """
    from ftbnn_larq.errors import ConfigError, RunError
    from ftbnn_larq.zoo import trained

    if output and output.is_dir():
        raise ConfigError(f"{output} is a folder: name the picture, such as {output / 'linearity.png'}")
    if output and output.suffix.lower() != ".png":
        raise ConfigError(f"{output}: the picture is a PNG; give it a name that ends in .png")
    if not run:
        try:
            run = str(newest_run())
        except RunError as error:
            say(f"{error}\ntaking a random ftbnn_r18 of width 16: UNTRAINED, it says nothing about a trained network")
    source = trained.find(run) if run else None
    if source and not source.data:
        raise ConfigError(f"{run}: a Keras file does not say what it was trained on; name a run or NAME:DATASET")
    load_tensorflow()
    from ftbnn_larq.analysis import linearity as analysis
    from ftbnn_larq.analysis.figures import draw_linearity
    from ftbnn_larq.data import pipeline

    model, data = _trained(source, data_dir) if source else _untrained()
    sample = pipeline.sample(data.test, data.config, pictures)
    with progress("measuring") as (on_start, on_step):
        result = analysis.linearity(model, sample, on_start=on_start, on_step=on_step)
    picture = output or (Path(run) if run and Path(run).is_dir() else Path()) / "linearity.png"
    state = "trained" if run else "UNTRAINED, random weights"
    measured = len(result["layers"])
    subject = (
        f"{model.name} ({state}) on {len(sample)} pictures of {data.config.name}, "
        f"{measured} of {measured + len(result['left_out'])} binary convolutions"
    )
    draw_linearity(result, picture, subject)
    document = {
        "run": run,
        "model": model.name,
        "trained": run is not None,
        "dataset": data.config.name,
        "pictures": len(sample),
        **result,
        "picture": str(picture),
    }
    emit(as_json, document, lambda: _show(document, subject))


def _show(document: dict, subject: str) -> None:
    from ftbnn_larq.analysis.verdict import percent

    def cell(share):
        return "-" if share is None else percent(share)

    rows = [
        [f"scale: {row['name']}", *(cell(row.get(key)) for key in ("linearity", "error", "error_rescaled"))]
        for row in document["scales"]
    ]
    rows += [
        [f"behind the batch norm: {row['name']}", cell(row["linearity"]), "", ""] for row in document["nonlinearities"]
    ]
    table(subject, ["binarized convolution", "linearity", "error", "after the best scale and offset"], rows)
    click.echo(document["measure"])
    reasons = dict.fromkeys(row["reason"] for row in document["left_out"])
    for reason in reasons:
        names = [row["name"] for row in document["left_out"] if row["reason"] == reason]
        say(f"left out: {', '.join(names)}: {reason}")
    click.echo(document["verdict"])
    click.echo(f"picture: {document['picture']}")


def _trained(source, data_dir: str | None):
    from ftbnn_larq.data import load

    model, config = source.load(), source.data
    return model, load(config.name, data_dir=data_dir or config.data_dir, config=config)


def _untrained():
    import tensorflow as tf

    from ftbnn_larq import zoo
    from ftbnn_larq.data import load

    data = load("digits")
    tf.keras.utils.set_random_seed(0)
    shape, classes = data.config.input_shape, len(data.config.labels)
    return zoo.create_model("ftbnn_r18", input_shape=shape, num_classes=classes, width=16), data
