"""ftbnn-larq predict"""

from __future__ import annotations

from pathlib import Path

import click

from ftbnn_larq.cli.options import ModelFile, board_options, engine_option, opener
from ftbnn_larq.cli.output import emit, json_option, load_tensorflow


@click.command()
@click.argument("file", type=ModelFile())
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Classes of each picture.")
@engine_option
@board_options
@json_option
def predict(file: Path, images: tuple[Path, ...], top: int, engine: str | None, on: str | None, to: str, as_json: bool):
    """Classes of pictures, by FILE: a run, a .tflite file with its .json beside it, or a published NAME:DATASET.

    larq_zoo:NAME:imagenet is a network of larq-zoo with its weights: `ftbnn-larq list` shows which there are.

    \b
    Example:
      ftbnn-larq predict model.tflite photo.jpg
      ftbnn-larq predict ftbnn_r18:cifar10 photo.jpg
      ftbnn-larq predict larq_zoo:QuickNet:imagenet photo.jpg
      ftbnn-larq predict model.tflite photo.jpg --on ssh:pi@raspberrypi
    """
    from ftbnn_larq.data.pictures import check_picture
    from ftbnn_larq.inference import prediction

    # Refused before TensorFlow is loaded.
    prediction.check(file, engine)
    runner = opener(file, on, to, engine)
    for image in images:
        check_picture(image)
    load_tensorflow()
    results = prediction.predict(file, images, top=top, engine=engine, runner=runner)

    def show():
        for result in results:
            ranking = "  ".join(f"{label} {probability:.1%}" for label, probability in result["top"])
            click.echo(f"{result['image']}: {ranking}")

    emit(as_json, results, show)
