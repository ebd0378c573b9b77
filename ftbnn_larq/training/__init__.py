"""Recipe and data in, a run folder out."""

from __future__ import annotations

import os
from collections.abc import Callable

from ftbnn_larq.training.plan import Plan, plan


def train(
    model: str | None = None,
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
    input_size: int | None = None,
    flip: bool | None = None,
    seed: int | None = None,
    options: dict | None = None,
    folds: int | None = None,
    recipe: str | os.PathLike | None = None,
    resume: str | os.PathLike | None = None,
    output: str | os.PathLike | None = None,
    callbacks: tuple = (),
    on_event: Callable[[str], None] = lambda line: None,
    **changes,
) -> dict:
    """Train a network, evaluate it on the test split, and write a run folder.

    Arguments:
        model: a name of the zoo ("ftbnn_r18"), or of larq-zoo ("larq_zoo:BiRealNet"). May be left out with `resume`,
            and where `recipe` is the recipe.toml of a run, which is then repeated.
        dataset: "digits" (the default), a name of TFDS, or "folder:PATH".
        data_dir: where TFDS keeps its data sets.
        input_size: side of the square pictures that the network sees, in pixels; the data set's own unless given.
        flip: mirror half of the training pictures; as fits the data unless given.
        seed: of all that is random; 0 unless given.
        options: changes to the model's configuration, e.g. `{"width": 16}`; see `models.config.ResNetConfig`.
        folds: cross-validation: train as many runs, each of which is tested on another part of the pictures.
        recipe: a recipe file (TOML); that of the data set unless given.
        resume: a run folder to go on with. Only `epochs` and `data_dir` can be changed then.
        output: where the run folder is made; "runs" unless given.
        callbacks: further Keras callbacks.
        on_event: told what goes on, a line at a time.
        **changes: keys of the recipe, e.g. `epochs=30, learning_rate=0.004`; see `recipe.Recipe`.

    Returns:
        `{run, model, dataset, epochs, top1, top5, last: {top1, top5}, seconds}`, as in the run's result.json: of the
        epoch that was best on the validation split, and of the last one. With `folds` it is `{path, model, dataset,
        folds: [{fold, run, examples, top1, top5}], top1, std, seconds}`, as in folds.json: mean and standard deviation
        of the folds' top-1.

    Raises:
        ConfigError, UnknownNameError: a name or a value that cannot be used.
        DataError: the data set is missing or damaged.
        RunError: the run to resume is missing, damaged, or trained by another process.
        TrainingError: the loss is no number, the disk is full, or a worker is lost.
        TrainingInterrupted: Ctrl-C; the run can be resumed.
    """
    planned = plan(
        model,
        dataset=dataset,
        data_dir=data_dir,
        input_size=input_size,
        flip=flip,
        seed=seed,
        options=options,
        folds=folds,
        resume=resume,
        recipe_file=recipe,
        output=output,
        changes=changes,
    )
    return carry_out(planned, output=output, callbacks=callbacks, on_event=on_event)


def carry_out(
    planned: Plan,
    *,
    output: str | os.PathLike | None = None,
    callbacks: tuple = (),
    on_event: Callable[[str], None] = lambda line: None,
) -> dict:
    """Train what a plan says; arguments, result and errors as for `train`. Only the chief worker uses `callbacks`."""
    output = "runs" if output is None else output
    for note in planned.notes:
        on_event(note)
    if planned.folds:
        from ftbnn_larq.training.folds import cross_validate

        def one(of_fold: Plan, folder) -> dict:
            return _run(of_fold, folder, callbacks, on_event)

        return cross_validate(planned, _data, one, output=output, on_event=on_event)
    return _run(planned, output, callbacks, on_event)


def _run(planned: Plan, output, callbacks: tuple, on_event: Callable[[str], None]) -> dict:
    from ftbnn_larq.training import distribution, loop

    strategy = distribution.create_strategy()
    told = {
        "callbacks": callbacks if distribution.is_chief(strategy) else (),
        "strategy": strategy,
        "on_event": on_event,
    }
    if planned.resumed:
        on_event(f"resuming {planned.resumed.path}, {planned.model}")
        return loop.resume(planned.resumed.path, epochs=planned.epochs, data_dir=planned.data_dir, **told)
    how, replicas = planned.recipe, strategy.num_replicas_in_sync
    loaded = _data(planned)
    for note in loaded.notes:
        on_event(note)
    on_event(
        f"training {planned.model} on {planned.dataset}: {loaded.train.examples} pictures of "
        f"{'x'.join(map(str, loaded.config.input_shape))}, {len(loaded.config.labels)} classes, {how.epochs} epochs, "
        f"batches of {how.batch_size}{f' on {replicas} replicas together' if replicas > 1 else ''}, learning rate "
        f"{how.learning_rate:g}"
    )
    labels = loaded.config.labels
    on_event(f"classes: {', '.join(labels[:10])}{f' and {len(labels) - 10} more' if len(labels) > 10 else ''}")
    settings = {"options": planned.options, "seed": planned.seed, "output": output}
    return loop.start(planned.model, loaded, how, **settings, **told)


def _data(planned: Plan):
    from ftbnn_larq import data
    from ftbnn_larq.training import sources

    start = planned.recipe.init_from
    return data.load(
        planned.dataset,
        data_dir=planned.data_dir,
        input_size=planned.input_size,
        # A network of 3 channels can be the start for grey pictures, and the other way round.
        channels=sources.channels(start) if start else None,
        flip=planned.flip,
        fold=planned.fold,
    )
