"""ftbnn-larq predict"""

from __future__ import annotations

from pathlib import Path

import click

from ftbnn_larq.cli.options import ModelFile
from ftbnn_larq.cli.output import emit, json_option, load_tensorflow


@click.command()
@click.argument("file", type=ModelFile())
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Classes of each picture.")
@json_option
def predict(file: Path, images: tuple[Path, ...], top: int, as_json: bool):
    """Classes of pictures, by FILE: a run, a .tflite file with its .json beside it, or a published NAME:DATASET.

    \b
    Example:
      ftbnn-larq predict model.tflite photo.jpg
      ftbnn-larq predict ftbnn_r18:cifar10 photo.jpg
    """
    from ftbnn_larq import runs
    from ftbnn_larq.data.pictures import check_picture
    from ftbnn_larq.inference.sidecar import data_config_beside

    # Refused before TensorFlow is loaded.
    if file.is_dir():
        runs.open_run(file).check_weights()
    else:
        data_config_beside(file)
    for image in images:
        check_picture(image)
    load_tensorflow()
    from ftbnn_larq.inference.prediction import predict as classify

    results = classify(file, images, top=top)

    def show():
        for result in results:
            ranking = "  ".join(f"{label} {probability:.1%}" for label, probability in result["top"])
            click.echo(f"{result['image']}: {ranking}")

    emit(as_json, results, show)
