"""Train a model in a new run folder, or resume a run."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from ftbnn_larq import documents, recipe, runs
from ftbnn_larq.data import Data, pipeline
from ftbnn_larq.data import load as load_data
from ftbnn_larq.documents import Network, Training
from ftbnn_larq.errors import ConfigError, TrainingError, TrainingInterrupted, resuming
from ftbnn_larq.files import remove_leftovers
from ftbnn_larq.models import ends, native
from ftbnn_larq.models.layers import train_with
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.training import checkpoints, convertible, distribution, precision, result, sources
from ftbnn_larq.training.optimization import create_optimizer, use_averages
from ftbnn_larq.training.parts import Part, parts
from ftbnn_larq.training.student import Student
from ftbnn_larq.training.watching import BOARD, Watcher, draw_curves
from ftbnn_larq.zoo import networks, peers

# The run folder's name in the messages of other workers: only rank 0 knows the real one.
ELSEWHERE = Path("RUN-OF-RANK-0")


def start(
    model: str,
    data: Data,
    how: Recipe,
    *,
    options: dict | None = None,
    seed: int = 0,
    output: str = "runs",
    callbacks: tuple = (),
    strategy: tf.distribute.Strategy | None = None,
    on_event: Callable[[str], None] = lambda line: None,
) -> dict:
    """Train a model in a new run folder below `output`.

    Arguments:
        model: name of a model of the zoo, or `larq_zoo:NAME`.
        data: the data set, loaded.
        how: the recipe.
        options: changes to the model's configuration.
        seed: of initial weights, order of pictures and data augmentation.
        output: the folder for runs.
        callbacks: further Keras callbacks, such as a progress bar. One that sets `stop_training` ends the training.
        strategy: the `tf.distribute` strategy; None to choose it by this machine's GPUs and TF_CONFIG.
        on_event: told what goes on, a line at a time.

    Returns:
        `{run, model, dataset, epochs, top1, top5, last: {top1, top5}, seconds}`, as in the run's result.json. `top1`
            and `top5` are fractions on the test split, with the weights of the epoch that was best on the validation
            split; `last` has those of the last epoch.

    Raises:
        ConfigError: the batch is larger than the training split, the pictures do not fit the model, the teacher has
            other classes, the start weights do not fit, or a key of the recipe does not apply to a larq-zoo network.
        TrainingError: the loss is not finite, the disk is full, or another worker is gone.
        TrainingInterrupted: Ctrl-C. The run can be resumed.
    """
    strategy = strategy or distribution.create_strategy()
    networks.check_recipe(model, how)
    how = how.replace(
        # Larq's own layers compute in float32 only.
        precision="float32" if model in peers.NAMES else precision.resolve(how.precision),
        init_from=sources.absolute(how.init_from),
        teacher=sources.absolute(how.teacher),
    )
    _check(data, how, strategy)
    options = networks.whole_configuration(model, options or {})
    network = Network(model, options, data.config.input_shape, len(data.config.labels))
    config = Training(network, data.config, seed, runs.versions())
    # Built before anything is written, so that a network that cannot be built leaves no folder behind.
    training = _Training(runs.Run(Path(), config), data, how, strategy, init_from=how.init_from, on_event=on_event)
    if warning := convertible.warning(training.network, config.model):
        on_event(warning)
    if distribution.is_chief(strategy):
        run = runs.create_run(output, config, how)
        return training.run_in(run, run, None, callbacks)
    scratch = runs.Run(Path(tempfile.mkdtemp(prefix="ftbnn-larq-")), config)
    return training.run_in(scratch, runs.Run(ELSEWHERE, config), None, callbacks)


def resume(
    path,
    *,
    epochs: int | None = None,
    data_dir: str | None = None,
    callbacks: tuple = (),
    strategy: tf.distribute.Strategy | None = None,
    on_event: Callable[[str], None] = lambda line: None,
) -> dict:
    """Continue an interrupted run. A finished run is evaluated again, or made longer with `epochs`.

    Arguments:
        path: the run folder.
        epochs: number of epochs in all; None for that of the run's recipe.
        data_dir: the folder of TFDS's data sets; None for the one the run began with.
        callbacks: as for `start`.
        strategy, on_event: as for `start`.

    Returns:
        As `start`.

    Raises:
        ConfigError: the run has more than `epochs` epochs already.
        RunError: `path` is not a run folder, or another process is training it.
        TrainingError: as for `start`.
        TrainingInterrupted: as for `start`.
    """
    strategy = strategy or distribution.create_strategy()
    run = runs.open_run(path)
    planned = recipe.read(run.path / runs.RECIPE)
    how = planned.replace(epochs=epochs, precision=precision.resolve(planned.precision))
    config = run.config.data
    data = load_data(config.name, data_dir=data_dir or config.data_dir, config=config)
    for note in data.notes:
        on_event(note)
    _check(data, how, strategy)
    record = checkpoints.newest(run)
    if record and how.epochs < record.epoch:
        raise ConfigError(f"{run.path} has {record.epoch} epochs already, {how.epochs} are too few: give more")
    if record and how.epochs != planned.epochs:
        run = run.change_length(record.epoch, planned.epochs)
    # A checkpoint has its own weights. The source of the first weights may no longer exist.
    init_from = "" if record else how.init_from
    training = _Training(run, data, how, strategy, init_from=init_from, on_event=on_event)
    target = run
    if not distribution.is_chief(strategy):
        target = dataclasses.replace(run, path=Path(tempfile.mkdtemp(prefix="ftbnn-larq-")))
    return training.run_in(target, run, record, callbacks)


def last_epoch(run: runs.Run, *, data_dir: str | None = None) -> tf.keras.Model:
    """The network of a finished run with the weights of its last epoch, averaged where the recipe says so.

    A checkpoint's own weights are those that training goes on with: with `ema` they are not what was evaluated.
    """
    config = run.config.data
    data = load_data(config.name, data_dir=data_dir or config.data_dir, config=config)
    how = recipe.read(run.path / runs.RECIPE).replace(teacher="")
    training = _Training(run, data, how, tf.distribute.get_strategy(), init_from="", on_event=lambda line: None)
    (model,) = training._restored(run, checkpoints.newest(run)).values()
    if how.ema:
        use_averages(model)
    train_with(training.network)
    return training.network


def _check(data: Data, how: Recipe, strategy: tf.distribute.Strategy) -> None:
    if how.batch_size > data.train.examples:
        raise ConfigError(
            f"batch size {how.batch_size} is larger than the training split of {data.config.name} "
            f"({data.train.examples} pictures): take a smaller one"
        )
    distribution.check_batch(how, strategy)


class _Training:
    """A training: network, teacher, data and recipe. Nothing is written before `run_in`."""

    def __init__(
        self,
        run: runs.Run,
        data: Data,
        how: Recipe,
        strategy: tf.distribute.Strategy,
        *,
        init_from: str,
        on_event: Callable[[str], None],
    ):
        self.data, self.how, self.strategy, self.seed = data, how, strategy, run.config.seed
        self.steps = data.train.examples // how.batch_size
        if reason := native.why_missing():
            on_event(f"a training step takes TensorFlow's own operators, not the kernels of native/: {reason}")
        with strategy.scope():
            # The teacher comes first. It is refused more often than the network, and the seed below is set after it.
            self.teacher = sources.teacher(how.teacher, data, on_event) if how.teacher else None
            # Never 0: with global seed 0, tf.data accepts no tensor as the seed of a shuffle.
            tf.keras.utils.set_random_seed(self.seed + 1)
            self.network = networks.rebuild(run.config.model)
            if init_from:
                sources.initialise(self.network, init_from, data.config.labels)
            sources.freeze(self.network, how.freeze, how.head_epochs)

    def run_in(self, target: runs.Run, source: runs.Run, record: documents.Checkpoint | None, callbacks: tuple) -> dict:
        """Train into `target`, from a checkpoint of `source` or from the beginning, and evaluate.

        The two differ only on workers that do not write the run: their `target` is a temporary folder.
        """
        history = list(record.history) if record else []
        with contextlib.ExitStack() as stack:
            if target.path != source.path or not distribution.is_chief(self.strategy):
                stack.callback(shutil.rmtree, target.path, ignore_errors=True)
            stack.enter_context(runs.in_use(target))
            # Before anything is written: a checkpoint may not fit.
            restored = self._restored(source, record)
            remove_leftovers(target.path)
            checkpoints.go_back(target, record)
            # Saved now, so that a changed number of epochs survives the next interruption.
            if source.config.length_changed:
                dataclasses.replace(source, path=target.path).save_config()
            self.how.save(target.path / runs.RECIPE)
            stack.enter_context(distribution.lost_workers_told(source.path))
            try:
                self._train(target, restored, history, callbacks)
                many = self.strategy.num_replicas_in_sync > 1
                network = _copy(self.network, source) if many else self.network
                return result.write(network, self.data, self.how.batch_size, target, source, history)
            except KeyboardInterrupt as error:
                raise TrainingInterrupted(source.path) from error
            except TrainingError as error:
                raise TrainingError(f"{error}; the run so far is in {source.path}") from error
            except OSError as error:
                reason = ": ".join(str(each) for each in (error.filename, error.strerror or error) if each)
                raise TrainingError(
                    f"cannot continue after epoch {len(history)}: {reason}. Checkpoints are intact: remove the cause, "
                    f"then type {resuming(source.path)}"
                ) from error

    def _restored(self, source: runs.Run, record: documents.Checkpoint | None) -> dict[Part, Student]:
        """The model of the part that a checkpoint is of, with its weights."""
        for part in parts(self.how) if record else ():
            if part.first < record.epoch <= part.last:
                model = self._compiled(part)
                with self.strategy.scope():
                    checkpoints.restore(source, record, model)
                return {part: model}
        return {}

    def _train(self, target, restored: dict[tuple, Student], history, callbacks) -> None:
        how = self.how
        for part in parts(self.how):
            begun = len(history)
            if begun > part.last:
                continue
            model = restored.get(part) or self._compiled(part)
            stopped = checkpoints.has_stopped(history, part.patience, part.first, target.planned_at)
            if begun < part.last and not stopped:
                self._fit(model, target, history, part, callbacks)
            if how.ema:
                use_averages(model)
            # By a callback: patience stops the last part only.
            if model.stop_training:
                break

    def _compiled(self, part: Part) -> Student:
        how = self.how
        train_with(
            self.network,
            **precision.attributes(how.precision),
            binary_weights=part.binary,
            native=native.why_missing() is None,
        )
        logits = ends.up_to_logits(self.network)
        with self.strategy.scope():
            model = Student(logits.inputs, logits.outputs, name=self.network.name)
            model.learn_from(self.teacher, how)
            model.learn_only(sources.head(self.network) if part.head_only else None)
            model.compile(
                optimizer=create_optimizer(how, model, (part.last - part.first) * self.steps, self.steps),
                loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=how.label_smoothing),
                metrics=[tf.keras.metrics.CategoricalAccuracy(name="top1")],
            )
            # Built now: a checkpoint is loaded into these variables, and a step that creates them is traced twice.
            model.optimizer.build(model.trainable_variables)
        return model

    def _fit(self, model: Student, target, history: list[dict], part: Part, callbacks):
        config, how, done = self.data.config, self.how, len(history)
        classes = len(config.labels)
        validation = pipeline.batches(self.data.validation, config, how.batch_size)
        validation = validation.map(lambda pictures, labels: (pictures, tf.one_hot(labels, classes)))
        keeper = checkpoints.Keeper(
            target,
            self.network,
            history,
            steps=self.steps,
            first=part.first,
            last=part.last,
            patience=part.patience,
            averaged=bool(how.ema),
        )
        # A result of fewer epochs, which is no longer that of the folder's weights.
        for name in (runs.RESULT, runs.ANSWERS):
            (target.path / name).unlink(missing_ok=True)
        model.fit(
            distribution.training_batches(self.strategy, self.data, how, seed=self.seed, first_epoch=done),
            steps_per_epoch=self.steps,
            initial_epoch=done,
            epochs=part.last,
            validation_data=distribution.whole_on_every_worker(validation),
            callbacks=[
                tf.keras.callbacks.TensorBoard(target.path / BOARD, write_graph=False),
                Watcher(target, self.network, history),
                keeper,
                *callbacks,
            ],
            verbose=0,
        )
        draw_curves(target, history)


def _copy(network: tf.keras.Model, run: runs.Run) -> tf.keras.Model:
    """The network on this machine alone."""
    copy = networks.rebuild(run.config.model)
    copy.set_weights(network.get_weights())
    return copy
