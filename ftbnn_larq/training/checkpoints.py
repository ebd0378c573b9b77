"""What a training writes as it runs: checkpoints to resume from, the best weights, and metrics per epoch."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from pathlib import Path

import tensorflow as tf

from ftbnn_larq import documents
from ftbnn_larq.documents import Checkpoint
from ftbnn_larq.errors import ModelFileError, RunError, TrainingError
from ftbnn_larq.files import duplicate, sha256, write_text
from ftbnn_larq.models.weights import load_weights, optimizer_shapes, save_weights
from ftbnn_larq.runs import METRICS, RECIPE, Run
from ftbnn_larq.training.optimization import use_averages

log = logging.getLogger(__name__)

KEPT = 2


def _files(run: Run, epoch: int) -> tuple[Path, Path]:
    return _file(run, epoch, ".weights.h5"), _file(run, epoch, ".json")


def _best(run: Run, epoch: int) -> Path:
    """The best weights until then. Those of the run may be of a later epoch when it is killed."""
    return _file(run, epoch, ".best.h5")


def _file(run: Run, epoch: int, suffix: str) -> Path:
    return run.path / "checkpoints" / f"epoch-{epoch:04d}{suffix}"


def _records(folder: Path) -> list[Path]:
    """From the oldest to the newest: a number of more than four digits has a longer name."""
    return sorted(folder.glob("epoch-*.json"), key=lambda path: (len(path.name), path.name))


def newest(run: Run) -> Checkpoint | None:
    """The record of the newest checkpoint whose files are whole; None of a run that has none yet.

    Raises:
        RunError: there are checkpoints but none is whole, or one is, and says what cannot be.
    """
    paths = _records(run.path / "checkpoints")[::-1]
    for path in paths:
        try:
            value = documents.load(path, RunError)
        except (OSError, RunError) as error:
            log.warning("a damaged checkpoint is skipped: %s", error)
            continue
        record = documents.check(value, Checkpoint, path, RunError)
        weights, own = _files(run, record.epoch)
        if own != path:
            raise RunError(f"{path}: damaged: epoch is {record.epoch}, and {own.name} is its name")
        if weights.is_file() and sha256(weights) == record.sha256:
            return record
        log.warning("a damaged checkpoint is skipped: %s: its checksum is not that in %s", weights, path.name)
    if paths:
        raise RunError(
            f"{run.path}: all of its {len(paths)} checkpoints are damaged: begin anew with ftbnn-larq train --recipe "
            f"{run.path / RECIPE}"
        )
    return None


def restore(run: Run, record: Checkpoint, model: tf.keras.Model) -> None:
    """Load a checkpoint into a compiled model and its optimizer, which must be built.

    Raises:
        RunError: its weights are those of another network or optimizer, or cannot be read.
    """
    weights, own = _files(run, record.epoch)
    way_out = f"to go on from the checkpoint before, if there is one, remove {own} and resume again"
    try:
        load_weights(model, weights)
        # Keras skips an optimizer that does not fit.
        if optimizer_shapes(weights) != [tuple(variable.shape) for variable in model.optimizer.variables]:
            raise ModelFileError(f"{weights}: not the state of this run's optimizer")
    except ModelFileError as error:
        raise RunError(f"{error}; {way_out}") from error


def go_back(run: Run, record: Checkpoint | None) -> None:
    """Remove what was written after a checkpoint: weights without a record, and the best ones of a later epoch."""
    _remove_orphans(run.path / "checkpoints")
    if record and (best := _best(run, record.epoch)).is_file():
        duplicate(best, run.weights)


def _remove_orphans(folder: Path) -> None:
    for weights in folder.glob("epoch-*.h5"):
        if not weights.with_name(f"{weights.name.partition('.')[0]}.json").exists():
            weights.unlink()


def has_stopped(history: list[dict], patience: int, first: int = 0, anew: int = 0) -> bool:
    """Whether the best validation top-1 is `patience` or more epochs old.

    The first `first` epochs don't count, and after epoch `anew` patience begins anew.
    """
    values = [row["val_top1"] for row in history[first:]]
    if not (patience and values):
        return False
    best = first + values.index(max(values)) + 1
    return len(history) - max(best, anew) >= patience


class Keeper(tf.keras.callbacks.Callback):
    """Callback that writes metrics, the best weights and checkpoints.

    metrics.csv is written after every epoch. The best weights are written when validation top-1 is as good as the best
    or better. A checkpoint is written after the first epoch and after the last, and otherwise at most every `interval`
    seconds.

    Arguments:
        run: the run folder to write to.
        network: the model whose best weights are kept, without an optimizer.
        history: metrics of the finished epochs.
        steps: steps per epoch.
        first: finished epochs before this part of the training; only later ones count for the best weights.
        last: number of epochs after this part of the training.
        patience: epochs without a better validation top-1 before the training stops; 0 for never.
        averaged: whether the optimizer's averages of the weights are validated and kept instead of the weights.
        interval: shortest time between two checkpoints, in seconds.

    Raises:
        TrainingError: the loss of a step is not finite. Nothing of that epoch is kept.
    """

    def __init__(
        self,
        run: Run,
        network: tf.keras.Model,
        history: list[dict],
        *,
        steps: int,
        first: int,
        last: int,
        patience: int = 0,
        averaged: bool = False,
        interval: float = 30,
    ):
        super().__init__()
        self.run, self.network, self.history, self.steps = run, network, history, steps
        self.first, self.last, self.patience, self.averaged, self.interval = first, last, patience, averaged, interval
        self.saved_at = -interval
        self.raw = None

    def on_epoch_begin(self, epoch, logs=None):
        self.began_at = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            step = len(self.history) * self.steps + batch + 1
            raise TrainingError(
                f"the loss is {logs['loss']} at step {step}, in epoch {len(self.history) + 1}: take a lower learning "
                "rate"
            )

    def on_test_begin(self, logs=None):
        if self.averaged:
            self.raw = [tf.identity(variable) for variable in self.model.trainable_variables]
            use_averages(self.model)

    def on_epoch_end(self, epoch, logs=None):
        best = max((row["val_top1"] for row in self.history[self.first :]), default=-1.0)
        rate = float(tf.convert_to_tensor(self.model.optimizer.learning_rate))
        metrics = {key: float(value) for key, value in (logs or {}).items()}
        seconds = round(time.monotonic() - self.began_at, 2)
        self.history.append({"epoch": epoch + 1, "learning_rate": rate, **metrics, "seconds": seconds})
        if metrics["val_top1"] >= best:
            save_weights(self.network, self.run.weights)
        if self.raw is not None:
            for variable, value in zip(self.model.trainable_variables, self.raw, strict=True):
                variable.assign(value)
            self.raw = None
        write_metrics(self.run, self.history)
        stop = has_stopped(self.history, self.patience, self.first, self.run.planned_at)
        if stop:
            self.model.stop_training = True
        if stop or epoch + 1 == self.last or time.monotonic() - self.saved_at >= self.interval:
            self.save(epoch + 1)

    def save(self, epoch: int) -> None:
        weights, record = _files(self.run, epoch)
        save_weights(self.model, weights)
        # A worker that does not write the run may have none.
        if self.run.weights.is_file():
            duplicate(self.run.weights, _best(self.run, epoch))
        # The record is written last: a checkpoint without a record is incomplete.
        documents.write(record, Checkpoint(epoch, sha256(weights), tuple(self.history)))
        for old in _records(record.parent)[:-KEPT]:
            old.unlink()
        _remove_orphans(record.parent)
        self.saved_at = time.monotonic()


def write_metrics(run: Run, history: list[dict]) -> None:
    """Write metrics.csv, one line per epoch."""
    columns = dict.fromkeys(key for row in history for key in row)
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(run.path / METRICS, table.getvalue())
