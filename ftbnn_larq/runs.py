"""Run folders. A run folder holds everything that one training writes.

runs/<model>-<dataset>-<when>/
    config.json           model, data set with its preprocessing, seed, versions
    recipe.toml           the resolved recipe
    metrics.csv           one line per epoch
    curves.png            loss and top-1 by epoch
    tensorboard/          the same, with learning rate, slopes, and the share of binary weights that changed sign
    checkpoints/          for --resume
    best.weights.h5       weights of the best epoch on the validation split
    result.json           accuracy on the test split
    answers.json          the same by class, what was taken for what, and the most confident mistakes
    model.tflite, .json   flatbuffer and its description, written by convert

runs/<model>-<dataset>-<number>folds-<digits>/
    folds.json            what a cross-validation found
    <run>/                a run for each fold
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ftbnn_larq import documents
from ftbnn_larq.errors import RunError, resuming
from ftbnn_larq.recipe import Recipe

CONFIG = "config.json"
WEIGHTS = "best.weights.h5"
RESULT = "result.json"
ANSWERS = "answers.json"
FOLDS = "folds.json"
METRICS = "metrics.csv"
CURVES = "curves.png"
RECIPE = "recipe.toml"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder and its configuration.

    Attributes:
        path: the folder.
        config: the content of config.json.
    """

    path: Path
    config: documents.Training

    @property
    def weights(self) -> Path:
        """Path of the weights of the best epoch."""
        return self.path / WEIGHTS

    @property
    def model_name(self) -> str:
        """Name of the model, such as "ftbnn_r18"."""
        return self.config.model.name

    @property
    def planned_at(self) -> int:
        """Epochs after which the number of epochs was changed last; 0 if it never was."""
        return max((each.after for each in self.config.length_changed), default=0)

    def change_length(self, after: int, of: int) -> Run:
        """The run with a note in its configuration: after `after` epochs the planned number changed from `of`."""
        changes = self.config.length_changed
        if any(each.after == after for each in changes):
            # No epoch was trained under the plan of `of` epochs.
            return self
        changes = (*changes, documents.LengthChange(after, of))
        return dataclasses.replace(self, config=dataclasses.replace(self.config, length_changed=changes))

    def save_config(self) -> None:
        """Write config.json."""
        documents.write(self.path / CONFIG, self.config)

    def check_weights(self) -> None:
        """Refuse a run without weights.

        Raises:
            RunError: the run has no weights.
        """
        if not self.weights.is_file():
            raise RunError(f"{self.path} has no {WEIGHTS}: continue it with {resuming(self.path)}")


def open_run(path: str | os.PathLike) -> Run:
    """Open a run folder.

    Raises:
        RunError: the folder does not exist, is not a run folder, or its config.json is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise RunError(f"{path}: no such run folder")
    try:
        return Run(path, documents.read(path / CONFIG, documents.Training, RunError))
    except FileNotFoundError as error:
        raise RunError(f"{path} is not a run: it has no {CONFIG}") from error


def dataset_name(data: documents.DataConfig) -> str:
    """A data set's name for the name of a folder."""
    return Path(data.name.removeprefix("folder:").replace(":", "-")).name


def create_run(output: str | os.PathLike, config: documents.Training, how: Recipe) -> Run:
    """Create a run folder below `output`, named after model, data set and time.

    Arguments:
        output: the folder for runs.
        config: the content of config.json.
        how: the content of recipe.toml.

    Raises:
        RunError: no free name was found.
    """
    fold = f"-fold{config.data.fold[0]}of{config.data.fold[1]}" if config.data.fold else ""
    name = f"{config.model.name}-{dataset_name(config.data)}{fold}-{time.strftime('%Y%m%d-%H%M%S')}"
    for attempt in range(1, 100):
        path = Path(output) / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not path.is_dir():
                raise
            continue
        run = Run(path, config)
        how.save(path / RECIPE)
        # Written last: it makes the folder a run, which can be gone on with.
        run.save_config()
        return run
    raise RunError(f"{output}: could not find a free name like {name}")


@contextlib.contextmanager
def in_use(run: Run) -> Iterator[None]:
    """Lock a run folder against training by other processes.

    Raises:
        RunError: another process is training it.
    """
    with open(run.path / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{run.path} is being trained by another process: wait for it, or stop it") from error
        yield


def newest(output: str | os.PathLike, wanted: Callable[[Path], bool], what: str) -> Path:
    """The newest run folder below `output` that `wanted` accepts.

    Arguments:
        output: the folder for runs.
        wanted: function from a run folder to True or False.
        what: what is looked for, for the error message.

    Raises:
        RunError: there is none.
    """
    output = Path(output)
    folders = [path.parent for path in output.glob(f"*/{CONFIG}") if wanted(path.parent)]
    if not folders:
        raise RunError(f"no {what} below {output}/: name one, or make one with `ftbnn-larq train ftbnn_r18`")
    return max(folders, key=lambda path: (path / CONFIG).stat().st_mtime)


def versions() -> dict[str, str]:
    """Versions of this package, TensorFlow, Larq and Larq Compute Engine; "unknown" for one that is not installed."""
    from importlib import metadata

    from ftbnn_larq import __version__

    def version(name: str) -> str:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return "unknown"

    names = ("tensorflow", "larq", "larq-compute-engine")
    return {"ftbnn-larq": __version__, **{name: version(name) for name in names}}
