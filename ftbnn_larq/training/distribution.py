"""Several devices and several machines, as `tf.distribute` has them: nothing here of our own but the choice."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import tensorflow as tf

from ftbnn_larq.data import Data, pipeline
from ftbnn_larq.errors import ConfigError, TrainingError, one_line
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.training import cluster


def create_strategy() -> tf.distribute.Strategy:
    """What the machine and TF_CONFIG ask for: several machines, several GPUs of this one, or plain TensorFlow."""
    if cluster.several_machines():
        return _across_machines()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


@functools.cache
def _across_machines() -> tf.distribute.Strategy:
    # One for a process: a second would start TensorFlow's server anew, and a worker that has already spoken to the
    # first waits for its answer for ever.
    return tf.distribute.MultiWorkerMirroredStrategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes the run."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.cluster_spec() or resolver.task_id == 0


def check_batch(recipe: Recipe, strategy: tf.distribute.Strategy) -> None:
    """Raises ConfigError if the batch cannot be shared out evenly."""
    replicas = strategy.num_replicas_in_sync
    if recipe.batch_size % replicas:
        raise ConfigError(
            f"batch size {recipe.batch_size} cannot be shared evenly among {replicas} replicas: take "
            f"{max(1, round(recipe.batch_size / replicas)) * replicas}"
        )


def training_batches(strategy: tf.distribute.Strategy, data: Data, recipe: Recipe, *, seed: int, first_epoch: int):
    """`pipeline.training_batches`, each worker reading its share of every batch."""
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
    """Let each worker go through all of `batches`: they agree on the result without talking about it."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.with_options(options)


@contextlib.contextmanager
def lost_workers_told(run) -> Iterator[None]:
    """Turn what TensorFlow says when another worker is gone into one line."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError) as error:
        raise TrainingError(
            f"another worker is gone ({one_line(error, 120)}); start all of them again, each with --resume {run}"
        ) from error
