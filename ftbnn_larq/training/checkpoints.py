"""What a run keeps while it trains: checkpoints to go on from, the best weights, a line of metrics an epoch."""

from __future__ import annotations

import csv
import io
import json
import logging
import time
from pathlib import Path

import tensorflow as tf

from ftbnn_larq.files import sha256, write_json, write_text
from ftbnn_larq.runs import Run
from ftbnn_larq.weights import save_weights

log = logging.getLogger(__name__)

KEPT = 2


def _files(run: Run, epoch: int) -> tuple[Path, Path]:
    stem = run.path / "checkpoints" / f"epoch-{epoch:04d}"
    return stem.with_suffix(".weights.h5"), stem.with_suffix(".json")


def restore(run: Run, model: tf.keras.Model) -> list[dict]:
    """Load the newest undamaged checkpoint into a compiled model, optimizer included.

    Returns:
        The metrics of the epochs that are done, in order; empty where there is no checkpoint.
    """
    for record_path in sorted((run.path / "checkpoints").glob("epoch-*.json"), reverse=True):
        try:
            record = json.loads(record_path.read_text(encoding="utf-8"))
            weights, _ = _files(run, record["epoch"])
            if sha256(weights) != record["sha256"]:
                raise ValueError("its checksum differs")
            model.optimizer.build(model.trainable_variables)
            model.load_weights(weights)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("checkpoint %s is damaged and skipped: %s", record_path, error)
            continue
        return record["history"]
    return []


class Keeper(tf.keras.callbacks.Callback):
    """Writes metrics.csv every epoch, the best weights when validation top-1 is reached again or beaten, checkpoints
    after the first epoch, then at most every `interval` seconds, and at the end.

    Arguments:
        run: where to.
        network: the model whose weights are kept; its optimizer, if any, is not.
        history: metrics of the epochs that are done.
        epochs: epochs in all.
        interval: least seconds between two checkpoints.
    """

    def __init__(self, run: Run, network: tf.keras.Model, history: list[dict], epochs: int, interval: float = 30):
        super().__init__()
        self.run, self.network, self.history, self.epochs, self.interval = run, network, history, epochs, interval
        self.saved_at = -interval

    def on_epoch_begin(self, epoch, logs=None):
        self.began_at = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        best = max((row["val_top1"] for row in self.history), default=-1.0)
        rate = float(self.model.optimizer.learning_rate)
        metrics = {key: float(value) for key, value in (logs or {}).items()}
        seconds = round(time.monotonic() - self.began_at, 2)
        self.history.append({"epoch": epoch + 1, "learning_rate": rate, **metrics, "seconds": seconds})
        if metrics["val_top1"] >= best:
            save_weights(self.network, self.run.weights)
        table = io.StringIO()
        writer = csv.DictWriter(table, self.history[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_text(self.run.path / "metrics.csv", table.getvalue())
        if epoch + 1 == self.epochs or time.monotonic() - self.saved_at >= self.interval:
            self.save(epoch + 1)

    def save(self, epoch: int) -> None:
        weights, record = _files(self.run, epoch)
        save_weights(self.model, weights)
        # The record is written last: a checkpoint without one was cut short.
        write_json(record, {"epoch": epoch, "sha256": sha256(weights), "history": self.history})
        for old in sorted(record.parent.glob("epoch-*.json"))[:-KEPT]:
            old.unlink()
            old.with_suffix(".weights.h5").unlink(missing_ok=True)
        self.saved_at = time.monotonic()
