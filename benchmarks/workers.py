"""Whether two processes on this machine take the steps that one takes, as `train --workers` has them."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import socket
import tempfile
from concurrent.futures import ProcessPoolExecutor

from ftbnn_larq import data as datasets
from ftbnn_larq.cli.output import load_tensorflow
from ftbnn_larq.recipe import Recipe

PROCESSES = 2
# For what takes minutes: a worker waits for another without end.
PATIENCE_SECONDS = 1200


class _Enough(Exception):
    """The steps that were asked for have been taken."""


def compare(model: str, options: dict, dataset: str, data_dir: str | None, *, dtype: str, steps: int) -> list[list]:
    """The loss of each of the first `steps` steps: trained in one process, and as each of two workers tells it.

    All have the same seed and the same global batch of 64. In "float64" a sum that is rounded in another order turns no
    sign; `dtype` is that of all weights and of all arithmetic. TensorFlow has no grouped convolutions in "float64".
    """
    addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(PROCESSES))
    places = [("", 0), *((addresses, rank) for rank in range(PROCESSES))]
    # A process for each: TensorFlow takes its list of workers only once.
    with ProcessPoolExecutor(len(places), mp_context=multiprocessing.get_context("spawn")) as pool:
        started = [pool.submit(_losses, *place, model, options, dataset, data_dir, dtype, steps) for place in places]
        try:
            return [future.result(PATIENCE_SECONDS) for future in started]
        except BaseException:
            for process in multiprocessing.active_children():
                process.kill()
            raise


def _losses(workers, rank, model, options, dataset, data_dir, dtype, steps) -> list[float]:
    load_tensorflow(look_for_devices=False)
    import tensorflow as tf

    from ftbnn_larq.models.layers import BinaryConv2D
    from ftbnn_larq.training import cluster, distribution, loop

    if workers:
        cluster.set_workers(workers, rank)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.keras.backend.set_floatx(dtype)
    # Made before anything else of TensorFlow's, and once.
    strategy = distribution.create_strategy()
    assert not workers or distribution.create_strategy() is strategy
    means = []

    class Means(tf.keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            for layer in self.model.layers:
                if isinstance(layer, BinaryConv2D):
                    layer.arithmetic = dtype

        def on_train_batch_end(self, batch, logs=None):
            means.append(float(logs["loss"]))
            if len(means) == steps:
                raise _Enough

    how = Recipe(batch_size=64, precision="float32")
    data = datasets.load(dataset, data_dir=data_dir)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_Enough):
        loop.start(model, data, how, options=options, output=folder, callbacks=(Means(),), strategy=strategy)
    # Keras tells the mean since the beginning of the epoch.
    sums = [0.0, *(mean * count for count, mean in enumerate(means, 1))]
    return [after - before for before, after in itertools.pairwise(sums)]


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
