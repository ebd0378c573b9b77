"""Training on several devices and machines with `tf.distribute`."""

from __future__ import annotations

import contextlib
import functools
import shlex
import signal
import threading
from collections.abc import Iterator

import tensorflow as tf

from ftbnn_larq.data import Data, pipeline
from ftbnn_larq.errors import ConfigError, TrainingError, one_line
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.training import cluster


def create_strategy() -> tf.distribute.Strategy:
    """Choose the strategy: several machines if TF_CONFIG names them, else all GPUs of this one, else the default."""
    if cluster.several_machines():
        return _across_machines()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


@functools.cache
def _across_machines() -> tf.distribute.Strategy:
    # One strategy per process. A second one would start TensorFlow's server again, and a worker that had connected to
    # the first server would wait forever.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    # TensorFlow's server takes SIGTERM for itself and does not end by it: what Python was told holds again.
    if threading.current_thread() is threading.main_thread() and (told := signal.getsignal(signal.SIGTERM)):
        signal.signal(signal.SIGTERM, told)
    return strategy


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run folder."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.cluster_spec() or resolver.task_id == 0


def check_batch(recipe: Recipe, strategy: tf.distribute.Strategy) -> None:
    """Raise ConfigError if the batch size is not a multiple of the number of replicas."""
    replicas = strategy.num_replicas_in_sync
    if recipe.batch_size % replicas:
        raise ConfigError(
            f"batch size {recipe.batch_size} cannot be shared evenly among {replicas} replicas: take "
            f"{max(1, round(recipe.batch_size / replicas)) * replicas}"
        )


def training_batches(strategy: tf.distribute.Strategy, data: Data, recipe: Recipe, *, seed: int, first_epoch: int):
    """`pipeline.training_batches`, of which each worker reads its share."""
    if strategy.num_replicas_in_sync == 1:
        return pipeline.training_batches(data.train, data.config, recipe, seed=seed, first_epoch=first_epoch)

    def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return pipeline.training_batches(
            data.train,
            data.config,
            recipe,
            seed=seed,
            first_epoch=first_epoch,
            workers=context.num_input_pipelines,
            worker=context.input_pipeline_id,
            replicas=context.num_replicas_in_sync // context.num_input_pipelines,
        )

    return strategy.distribute_datasets_from_function(share)


def whole_on_every_worker(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Make every worker read all of `batches`, so that all get the same result without communication."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.with_options(options)


@contextlib.contextmanager
def lost_workers_told(run) -> Iterator[None]:
    """Turn TensorFlow's errors about a lost worker into a TrainingError of one line."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError) as error:
        raise TrainingError(
            f"another worker is gone ({one_line(error, 120)}): start all workers again, each with "
            f"--resume {shlex.quote(str(run))}"
        ) from error
