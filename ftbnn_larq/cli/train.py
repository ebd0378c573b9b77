"""ftbnn-larq train"""

from __future__ import annotations

import contextlib
import functools
import shlex
from pathlib import Path

import click

from ftbnn_larq import recipe
from ftbnn_larq.cli.options import model_options
from ftbnn_larq.cli.output import RUNS, emit, json_option, load_tensorflow, say
from ftbnn_larq.documents.kinds import MOST_SEED

_SHORT = {"learning_rate": ("--lr",), "batch_size": ("-b",)}


def _recipe_options(command):
    """One option for each key of a recipe, gathered in the argument `changes`."""
    for field in reversed(recipe.fields()):
        kind = click.Choice(field.metadata["choices"]) if field.metadata["choices"] else type(field.default)
        names = [f"--{field.name.replace('_', '-')}", *_SHORT.get(field.name, ()), field.name]
        text = field.metadata["help"]
        # A choice is written as it is typed.
        begin = text[0] if text.startswith(field.metadata["choices"]) else text[0].upper()
        command = click.option(*names, type=kind, help=f"{begin}{text[1:]}.")(command)

    @functools.wraps(command)
    def gathered(**arguments):
        changes = {field.name: arguments.pop(field.name) for field in recipe.fields()}
        return command(changes={name: value for name, value in changes.items() if value is not None}, **arguments)

    return gathered


@click.command()
@click.argument("model", required=False)
@click.option("--dataset", help="digits, a TFDS name, or folder:PATH.  [default: digits]")
@click.option("--data-dir", help="Where TFDS keeps its data sets.  [default: TFDS's own]")
@click.option("--input-size", type=int, help="Side of the pictures the network sees, in pixels.")
@click.option(
    "--flip/--no-flip", default=None, help="Mirror half of the training pictures.  [default: as fits the data]"
)
@click.option("--seed", type=click.IntRange(0, MOST_SEED), help="Of all that is random.  [default: 0]")
@click.option("--folds", type=int, help="Cross-validation: train as many runs, each tested on another part.")
@model_options
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with an interrupted run.")
@click.option("--output", help=f"Where the run folder is made.  [default: {RUNS}]")
@click.option("--workers", help="HOST:PORT of each of several machines, separated by commas; sets TF_CONFIG.")
@click.option("--rank", type=int, help="This machine's place among --workers, from 0; number 0 writes the run.")
@click.option("--recipe", "recipe_file", type=click.Path(path_type=Path), help="A recipe file (TOML).")
@_recipe_options
@json_option
def train(
    model,
    dataset,
    data_dir,
    input_size,
    flip,
    seed,
    folds,
    options,
    resume,
    output,
    workers,
    rank,
    recipe_file,
    changes,
    as_json,
):
    """Train MODEL, evaluate it on the test split, and write a run folder.

    The options from --optimizer on are the keys of a recipe, and override it. With the recipe.toml of a run and without
    a MODEL that run is repeated. With --resume only --epochs, and --data-dir for data that were moved, can be changed.
    With --folds the result is the mean of the folds' top-1; the same command goes on where it was interrupted.

    \b
    Example:
      ftbnn-larq train ftbnn_r18
      ftbnn-larq train ftbnn_r18 --dataset cifar10 --width 16 --epochs 30
      ftbnn-larq train ftbnn_r18 --dataset folder:pets --folds 5
      ftbnn-larq train --resume runs/ftbnn_r18-digits-20260102-030405
      ftbnn-larq train --recipe runs/ftbnn_r18-digits-20260102-030405/recipe.toml
    """
    from ftbnn_larq.errors import ConfigError
    from ftbnn_larq.training import cluster
    from ftbnn_larq.training.plan import plan

    planned = plan(
        model,
        dataset=dataset,
        data_dir=data_dir,
        input_size=input_size,
        flip=flip,
        seed=seed,
        options=options,
        folds=folds,
        resume=resume,
        recipe_file=recipe_file,
        output=output,
        changes=changes,
    )
    if (workers is None) != (rank is None):
        raise ConfigError("--workers and --rank go together: the same list on every machine, and its place in it")
    if workers:
        cluster.set_workers(workers, rank)
    load_tensorflow(look_for_devices=not workers)
    from ftbnn_larq.cli.bars import EpochBars
    from ftbnn_larq.training import carry_out

    with contextlib.closing(EpochBars()) as bars:
        result = carry_out(planned, output=output, callbacks=(bars,), on_event=say)

    def show():
        if folds:
            for fold in result["folds"]:
                click.echo(f"top-1 {fold['top1']:.2%} on {fold['examples']} pictures: {fold['run']}")
            click.echo(
                f"top-1 {result['top1']:.2%} on average, standard deviation {100 * result['std']:.2f} points, "
                f"over {folds} folds of {result['dataset']}"
            )
            click.echo(f"folder: {result['path']} ({result['seconds']:.0f} s)")
            return
        click.echo(f"top-1 {result['top1']:.2%}  top-5 {result['top5']:.2%} on the test split of {result['dataset']}")
        click.echo(f"run: {result['run']} ({result['epochs']} epochs, {result['seconds']:.0f} s)")
        say(f"next: ftbnn-larq convert {shlex.quote(result['run'])} --to tflite")

    emit(as_json, result, show)
