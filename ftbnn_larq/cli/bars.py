"""The progress bar of a training: epoch, loss, top-1, time left."""

from __future__ import annotations

import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ftbnn_larq.cli.output import say


class EpochBars(tf.keras.callbacks.Callback):
    """A bar for the epoch under way, on standard error, and a line for each that is done.

    To be closed: Keras says nothing of a training's end by an exception, and the bar has hidden the cursor.
    """

    bar = None

    def on_train_begin(self, logs=None):
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}  top-1 {task.fields[top1]:.1%}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.bar.start()
        self.task = self.bar.add_task("", total=self.params["steps"], epoch="", loss=0.0, top1=0.0)

    def on_epoch_begin(self, epoch, logs=None):
        name = f"{epoch + 1}/{self.params['epochs']}"
        self.bar.reset(self.task, total=self.params["steps"], epoch=name, loss=0.0, top1=0.0)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(self.task, completed=batch + 1, loss=logs["loss"], top1=logs["top1"])

    def on_epoch_end(self, epoch, logs=None):
        say(
            f"epoch {epoch + 1}/{self.params['epochs']}: loss {logs['loss']:.3f}  top-1 {logs['top1']:.2%}  "
            f"validation top-1 {logs['val_top1']:.2%}"
        )

    def on_train_end(self, logs=None):
        self.close()

    def close(self) -> None:
        if self.bar:
            self.bar.stop()
