"""What is to be trained, and how: all that can be refused before TensorFlow is loaded."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from ftbnn_larq import data, recipe, runs, zoo
from ftbnn_larq.documents import quoted
from ftbnn_larq.documents.data import MOST_FOLDS
from ftbnn_larq.documents.kinds import MOST_SEED
from ftbnn_larq.errors import ConfigError
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.zoo import networks, trained

_OF_A_TEACHER = ("distillation", "distillation_weight", "temperature")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A training that has been checked.

    Attributes:
        model: a name of `networks.names()`; `options` are changes to its configuration.
        recipe: how it is trained, whole.
        dataset, data_dir, input_size, flip: as `data.load` takes them.
        seed: of all that is random.
        fold: number of the fold that is the test split, from 1, and number of folds; None for the data set's splits.
        folds: how many, of which each has a run of its own; None for one run.
        resumed: the run to go on with, of which all of the above is; None for a new one.
        epochs: how many a resumed run shall have in the end; None as its recipe says.
        notes: what the user should know, a line each.
    """

    model: str
    options: dict
    recipe: Recipe
    dataset: str
    data_dir: str | None
    input_size: int | None = None
    flip: bool | None = None
    seed: int = 0
    fold: tuple[int, int] | None = None
    folds: int | None = None
    resumed: runs.Run | None = None
    epochs: int | None = None
    notes: tuple[str, ...] = ()


def plan(
    model: str | None = None,
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
    input_size: int | None = None,
    flip: bool | None = None,
    seed: int | None = None,
    options: dict | None = None,
    folds: int | None = None,
    resume: str | os.PathLike | None = None,
    recipe_file: str | os.PathLike | None = None,
    output: str | os.PathLike | None = None,
    changes: dict | None = None,
) -> Plan:
    """A new training, the repetition of a run, or a run to go on with.

    Arguments: as for `training.train`; `changes` are keys of the recipe.

    Raises:
        ConfigError: no model, a value that cannot be used or has no effect, or more than --epochs and --data-dir with
            `resume`.
        UnknownNameError: no such model, option, data set or key.
        RunError: no such run. DataError: no such folder.
    """
    changes = {key: value for key, value in (changes or {}).items() if value is not None}
    if resume:
        given = {"seed": seed, "input_size": input_size, "flip": flip, "folds": folds, "recipe": recipe_file}
        given |= {"output": output, **changes}
        given = [*(options or ()), *(key for key, value in given.items() if value is not None)]
        _refuse_folds(Path(resume))
        return _resumed(runs.open_run(resume), model, dataset, data_dir, given, changes)
    if seed is not None and not (isinstance(seed, int) and 0 <= seed <= MOST_SEED):
        raise ConfigError(f"seed {quoted(seed)}: give a whole number from 0 to {MOST_SEED}")
    if folds is not None and not 2 <= folds <= MOST_FOLDS:
        raise ConfigError(f"{quoted(folds)} folds: give 2 to {MOST_FOLDS}")
    notes: tuple[str, ...] = ()
    place = {"dataset": dataset, "data_dir": data_dir, "input_size": input_size, "flip": flip, "fold": None}
    options = options or {}
    if recipe_file and (Path(recipe_file) / runs.CONFIG).is_file():
        recipe_file = Path(recipe_file) / runs.RECIPE
    if not model and recipe_file and (Path(recipe_file).parent / runs.CONFIG).is_file():
        run = runs.open_run(Path(recipe_file).parent)
        model, options = run.model_name, {**run.config.model.options, **options}
        seed = run.config.seed if seed is None else seed
        place, notes = _place_of(run, place), _changed_lengths(run)
    if not model:
        raise ConfigError("which model? for instance ftbnn_r18; `ftbnn-larq list` shows them all")
    networks.check(model, options)
    place["dataset"] = "digits" if place["dataset"] is None else place["dataset"]
    data.check_name(place["dataset"], place["data_dir"])
    how = recipe.read(recipe_file) if recipe_file else _recipe_of_the_zoo(place["dataset"], changes)
    how = recipe.from_table(changes, "the options", how)
    if how.head_epochs and not how.init_from:
        raise ConfigError(
            f"head_epochs = {how.head_epochs}: a head learns alone on a trained network: name one with --init-from"
        )
    if not how.teacher and (idle := [key for key in _OF_A_TEACHER if key in changes]):
        raise ConfigError(f"{', '.join(idle)}: there is nobody to learn from: name one with --teacher")
    networks.check_recipe(model, how)
    begins = trained.find(how.init_from) if how.init_from else None
    teaches = trained.find_teacher(how.teacher) if how.teacher else None
    _check_memory(how, place["input_size"])
    notes += _of_what_it_saw(begins, place["dataset"], folds) + _of_what_it_saw(teaches, place["dataset"], folds)
    return Plan(model, options, how, **place, folds=folds, seed=seed or 0, notes=notes)


def _of_what_it_saw(network: trained.Trained | None, dataset: str, folds: int | None) -> tuple[str, ...]:
    """A note if a trained network may have seen what this training is tested on: folds take all pictures in turn."""
    seen = network and network.data
    if not seen or not (folds or seen.fold) or data.full_name(seen.name) != data.full_name(dataset):
        return ()
    return (
        f"{network.reference} was trained on {seen.name}: it may have seen what is tested on, and top-1 be too high",
    )


def _refuse_folds(path: Path) -> None:
    """Raise ConfigError for the folder of a cross-validation, which does not hold all that it began with."""
    if not (path / runs.CONFIG).is_file() and any(path.glob(f"*-fold*/{runs.CONFIG}")):
        raise ConfigError(f"{path} is a cross-validation: to go on, type the command again that it began with")


def _recipe_of_the_zoo(dataset: str, changes: dict) -> Recipe:
    how = zoo.recipe_for(dataset, finetune=bool(changes.get("init_from")))
    epochs = changes.get("epochs")
    if isinstance(epochs, int) and 0 < epochs < how.epochs:
        # A shorter training has a shorter first stage.
        how = how.replace(epochs=epochs, head_epochs=min(how.head_epochs, epochs // 4))
    return how


def _check_memory(how: Recipe, input_size: int | None) -> None:
    """Raise ConfigError for batches that this machine cannot hold, even in grey."""
    needed = 4 * how.batch_size * (input_size or 0) ** 2
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise ConfigError(
            f"{how.batch_size} pictures of {quoted(input_size)} pixels a side need more memory than the "
            f"{there / 1e9:.0f} GB of this machine: take a smaller batch size or input size"
        )


def _resumed(run: runs.Run, model, dataset, data_dir, given: list[str], changes: dict) -> Plan:
    trained.check(run)
    own = run.config.data
    if model and model != run.model_name:
        raise ConfigError(f"{run.path} is a run of {run.model_name}, not of {model}")
    if dataset is not None and data.full_name(dataset) != data.full_name(own.name):
        raise ConfigError(f"{run.path} was trained on {own.name}, not on {dataset}")
    if others := [name for name in given if name != "epochs"]:
        raise ConfigError(
            f"{run.path} goes on as it began: only --epochs and --data-dir can be changed, not {', '.join(others)}"
        )
    how = recipe.from_table(changes, "the options", recipe.read(run.path / runs.RECIPE))
    return Plan(
        run.model_name,
        run.config.model.options,
        how,
        own.name,
        data_dir,
        seed=run.config.seed,
        resumed=run,
        epochs=changes.get("epochs"),
    )


def _place_of(run: runs.Run, given: dict) -> dict:
    """Data set, folder, size, flip and fold of a run, where `given` says nothing else and names no other data set."""
    own = run.config.data
    if given["dataset"] is not None and data.full_name(given["dataset"]) != data.full_name(own.name):
        return given
    height, width, _ = own.input_shape
    # Pictures that are not square have the size that the data set gives them.
    size = height if height == width else None
    return {
        "dataset": own.name,
        "data_dir": given["data_dir"] or own.data_dir,
        "input_size": given["input_size"] or size,
        "flip": own.flip if given["flip"] is None else given["flip"],
        "fold": own.fold,
    }


def _changed_lengths(run: runs.Run) -> tuple[str, ...]:
    return tuple(
        f"{run.path} changed its length after epoch {each.after} of {each.of}, and the learning rate with it: "
        "this is no exact repetition"
        for each in run.config.length_changed
    )
