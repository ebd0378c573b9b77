"""What can be watched during a training: TensorBoard and a picture of the curves."""

from __future__ import annotations

import ctypes
import resource
import time

import numpy as np
import tensorflow as tf

from ftbnn_larq.files import written_whole
from ftbnn_larq.models import nonlinearities
from ftbnn_larq.models.layers import is_binary
from ftbnn_larq.runs import CURVES, Run

BOARD = "tensorboard"


class Watcher(tf.keras.callbacks.Callback):
    """Callback that adds metrics, writes to TensorBoard and draws curves.png.

    It adds to the metrics of an epoch `flips`, the share of binary weights whose sign changed in that epoch, and
    `memory_mb`, the peak memory of the process in MiB. TensorBoard gets the flips, and the slopes of the
    non-linearities as histograms. curves.png is drawn at most every `interval` seconds. After each epoch, free memory
    is returned to the system.

    Place it before callbacks that store the metrics or replace the weights by their averages.
    """

    def __init__(self, run: Run, network: tf.keras.Model, history: list[dict], interval: float = 60):
        super().__init__()
        self.run, self.history, self.interval = run, history, interval
        self.kernels = [layer.kernel.latent_variable for layer in network.layers if is_binary(layer)]
        learned = tuple(getattr(nonlinearities, name) for name in ("PReLU", "FPReLU", "RPReLU"))
        self.slopes = [weight for layer in network.layers if isinstance(layer, learned) for weight in layer.weights]
        self.drawn_at = time.monotonic()

    def on_train_begin(self, logs=None):
        self.writer = tf.summary.create_file_writer(str(self.run.path / BOARD / "weights"))
        self.signs = self._signs()

    def _signs(self) -> list[np.ndarray]:
        return [kernel.numpy() >= 0 for kernel in self.kernels]

    def on_test_begin(self, logs=None):
        # Signs of the trained weights. Validation may use averages of them instead.
        self.trained_signs = self._signs()

    def on_epoch_end(self, epoch, logs=None):
        signs = self.trained_signs
        changed = [int((old != new).sum()) for old, new in zip(self.signs, signs, strict=True)]
        self.signs = signs
        logs["flips"] = sum(changed) / max(1, sum(sign.size for sign in signs))
        _give_back_memory()
        # Linux gives KiB.
        logs["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        with self.writer.as_default(step=epoch):
            tf.summary.scalar("flips", logs["flips"])
            for kernel, count, sign in zip(self.kernels, changed, signs, strict=True):
                tf.summary.scalar(f"flips/{kernel.name.split('/')[0]}", count / sign.size)
            for slope in self.slopes:
                tf.summary.histogram(slope.name.split(":")[0], slope)
        self.writer.flush()
        if time.monotonic() - self.drawn_at >= self.interval:
            draw_curves(self.run, self.history)
            self.drawn_at = time.monotonic()

    def on_train_end(self, logs=None):
        self.writer.close()


def _give_back_memory() -> None:
    """Return free memory to the system. Without this, glibc's arenas grow with every epoch.

    The cause are the gaps between many small buffers of pictures. Other C libraries have no such call.
    """
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def draw_curves(run: Run, history: list[dict]) -> None:
    """Draw curves.png in the run folder: loss and top-1 by epoch, for training and validation."""
    if not history:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, key, label in zip(figure.subplots(1, 2), ("loss", "top1"), ("loss", "top-1 (%)"), strict=True):
        factor = 100 if key == "top1" else 1
        for name, style in ((key, "C0--"), (f"val_{key}", "C1-")):
            values = [factor * row[name] for row in history]
            axes.plot(epochs, values, style, marker="." if len(epochs) < 10 else "")
        axes.legend(["training", "validation"], frameon=False)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    figure.suptitle(f"{run.model_name} on {run.config.data.name}", parse_math=False)
    with written_whole(run.path / CURVES) as temporary:
        figure.savefig(temporary, dpi=120)
