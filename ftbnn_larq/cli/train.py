"""ftbnn-larq train"""

from __future__ import annotations

from pathlib import Path

import click

from ftbnn_larq.cli.options import model_options
from ftbnn_larq.cli.output import RUNS, emit, json_option, load_tensorflow, say


@click.command()
@click.argument("model", required=False)
@click.option("--dataset", default="digits", show_default=True, help="digits, a TFDS name, or folder:PATH.")
@click.option("--data-dir", help="Where TFDS keeps its data sets.  [default: TFDS's own]")
@click.option("--input-size", type=int, help="Side of the pictures the network sees, in pixels.")
@click.option(
    "--flip/--no-flip", default=None, help="Mirror half of the training pictures.  [default: as fits the data]"
)
@click.option("--recipe", "recipe_file", type=click.Path(path_type=Path), help="A recipe file (TOML).")
@click.option("--epochs", type=int, help="Passes over the training split.")
@click.option("-b", "--batch-size", type=int, help="Pictures in a step.")
@click.option("--lr", "learning_rate", type=float, help="Highest learning rate.")
@click.option("--seed", default=0, show_default=True, help="Of initialisation, order and augmentation.")
@model_options
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with an interrupted run.")
@click.option("--output", default=RUNS, show_default=True, help="Where the run folder is made.")
@json_option
def train(model, dataset, data_dir, input_size, flip, recipe_file, seed, options, resume, output, as_json, **changes):
    """Train MODEL, evaluate it on the test split, and write a run folder.

    \b
    Example:
      ftbnn-larq train ftbnn_r18
      ftbnn-larq train ftbnn_r18 --dataset cifar10 --width 16 --epochs 30
      ftbnn-larq train --resume runs/ftbnn_r18-digits-20260102-030405
    """
    from ftbnn_larq import data, runs, zoo
    from ftbnn_larq.errors import ConfigError
    from ftbnn_larq.training import recipe

    # Everything that can be refused is refused before TensorFlow is loaded.
    if resume:
        run = runs.open_run(resume)
        if model and model != run.model_name:
            raise ConfigError(f"{resume} is a run of {run.model_name}, not of {model}")
        recipe.read(run.path / "recipe.toml").replace(**changes)
        name = run.model_name
    else:
        if not model:
            raise click.UsageError("which model? for instance ftbnn_r18; `ftbnn-larq list` shows them all")
        zoo.entry(model).config.replace(**options)
        data.check_name(dataset, data_dir)
        how = recipe.read(recipe_file) if recipe_file else recipe.for_dataset(dataset)
        how = how.replace(**changes)
        name = model
    load_tensorflow()
    from ftbnn_larq.cli.bars import EpochBars
    from ftbnn_larq.training import loop

    bars = (EpochBars(),)
    if resume:
        say(f"resuming {resume}, {name}")
        result = loop.resume(resume, epochs=changes["epochs"], callbacks=bars)
    else:
        loaded = data.load(dataset, data_dir=data_dir, input_size=input_size, flip=flip)
        size = "x".join(map(str, loaded.config.input_shape))
        say(
            f"training {name} on {dataset}: {loaded.train.examples} pictures of {size}, {len(loaded.config.labels)} "
            f"classes, {how.epochs} epochs"
        )
        result = loop.start(model, loaded, how, options=options, seed=seed, output=output, callbacks=bars)

    def show():
        click.echo(f"top-1 {result['top1']:.2%}  top-5 {result['top5']:.2%} on the test split of {result['dataset']}")
        click.echo(f"run: {result['run']} ({result['epochs']} epochs, {result['seconds']:.0f} s)")
        say(f"next: ftbnn-larq convert {result['run']} --to tflite")

    emit(as_json, result, show)
