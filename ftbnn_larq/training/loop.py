"""One training, from a name or from where a run was interrupted."""

from __future__ import annotations

import tensorflow as tf

from ftbnn_larq import resnet, runs
from ftbnn_larq.data import Data, DataConfig, pipeline
from ftbnn_larq.data import load as load_data
from ftbnn_larq.errors import ConfigError, TrainingInterrupted
from ftbnn_larq.evaluation import accuracy
from ftbnn_larq.files import write_json
from ftbnn_larq.training import checkpoints, recipe
from ftbnn_larq.training.optimization import create_optimizer
from ftbnn_larq.training.recipe import Recipe
from ftbnn_larq.weights import load_weights


def start(
    model: str,
    data: Data,
    how: Recipe,
    *,
    options: dict | None = None,
    seed: int = 0,
    output: str = "runs",
    callbacks: tuple = (),
) -> dict:
    """Train a model of the zoo from scratch in a new run folder below `output`.

    Arguments:
        model: a name of the zoo; `options` are changes to its configuration.
        data: a loaded data set.
        how: the recipe.
        seed: of initialisation, order and augmentation.
        callbacks: further Keras callbacks, such as a progress bar.

    Returns:
        `{run, model, dataset, epochs, top1, top5, seconds}`, as in the run's result.json.

    Raises:
        ConfigError: the batch is larger than the training split, or the model cannot take the pictures.
        TrainingInterrupted: a KeyboardInterrupt; the run can be resumed.
    """
    _steps(data, how)
    config = {
        "model": {
            "name": model,
            "options": options or {},
            "input_shape": list(data.config.input_shape),
            "classes": len(data.config.labels),
        },
        "data": data.config.to_json(),
        "seed": seed,
        "versions": runs.versions(),
    }
    # Built once before anything is written: what cannot be built leaves no folder behind.
    network = _network(runs.Run(None, config))
    run = runs.create_run(output, config)
    how.save(run.path / "recipe.toml")
    return _train(run, network, data, how, callbacks)


def resume(path, *, epochs: int | None = None, callbacks: tuple = ()) -> dict:
    """Go on with an interrupted run; a finished one is evaluated again. Arguments and result as for `start`."""
    run = runs.open_run(path)
    how = recipe.read(run.path / "recipe.toml").replace(epochs=epochs)
    config = DataConfig.from_json(run.config["data"])
    data = load_data(config.name, data_dir=config.data_dir, config=config)
    return _train(run, _network(run), data, how, callbacks)


def _network(run: runs.Run) -> tf.keras.Model:
    # Not 0: with that global seed tf.data cannot take the seed of a shuffle from a tensor.
    tf.keras.utils.set_random_seed(run.config["seed"] + 1)
    return run.build_model()


def _steps(data: Data, how: Recipe) -> int:
    if how.batch_size > data.train.examples:
        raise ConfigError(
            f"batch size {how.batch_size} is larger than the training split of {data.config.name}, "
            f"{data.train.examples} pictures: take a smaller one"
        )
    return data.train.examples // how.batch_size


def _train(run: runs.Run, network: tf.keras.Model, data: Data, how: Recipe, callbacks: tuple) -> dict:
    steps = _steps(data, how)
    classes = len(data.config.labels)
    model = resnet.up_to_logits(network)
    model.compile(
        optimizer=create_optimizer(how, model, steps),
        loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=how.label_smoothing),
        metrics=[tf.keras.metrics.CategoricalAccuracy(name="top1")],
    )
    history = checkpoints.restore(run, model)
    done = len(history)

    def with_targets(batches):
        return batches.map(lambda pictures, labels: (pictures, tf.one_hot(labels, classes)))

    if done < how.epochs:
        batches = pipeline.training_batches(
            data.train,
            data.config,
            batch_size=how.batch_size,
            seed=run.config["seed"],
            first_epoch=done,
            epochs=how.epochs,
        )
        keeper = checkpoints.Keeper(run, network, history, how.epochs)
        curves = tf.keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False)
        try:
            model.fit(
                with_targets(batches),
                steps_per_epoch=steps,
                initial_epoch=done,
                epochs=how.epochs,
                validation_data=with_targets(pipeline.batches(data.validation, data.config, how.batch_size)),
                callbacks=[keeper, curves, *callbacks],
                verbose=0,
            )
        except KeyboardInterrupt as error:
            raise TrainingInterrupted(run.path) from error
    load_weights(network, run.weights)
    batches = pipeline.batches(data.test, data.config, how.batch_size)
    result = {
        "run": str(run.path),
        "model": run.model_name,
        "dataset": data.config.name,
        "epochs": len(history),
        **accuracy(network.predict_on_batch, batches),
        "seconds": round(sum(row["seconds"] for row in history), 1),
    }
    write_json(run.path / runs.RESULT, result)
    return result
