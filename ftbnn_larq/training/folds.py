"""Cross-validation: a run for each fold of a data set, and the mean of their top-1."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path

from ftbnn_larq import documents, runs
from ftbnn_larq.data import Data
from ftbnn_larq.errors import ConfigError, RunError, TrainingInterrupted
from ftbnn_larq.training import cluster
from ftbnn_larq.training.plan import Plan
from ftbnn_larq.zoo import networks


def cross_validate(
    planned: Plan,
    load: Callable[[Plan], Data],
    train: Callable[[Plan, Path], dict],
    *,
    output: str | os.PathLike,
    on_event: Callable[[str], None],
) -> dict:
    """Train a run for each fold in a folder of `output`, and write folds.json there.

    The folder is named after all that the runs have in common, pictures included. The same plan therefore goes on where
    it was interrupted: finished runs are kept, one that is under way is resumed.

    Arguments:
        planned: with the number of folds.
        load: function from the plan of a fold to its data.
        train: function from the plan of a run, new or to go on with, and the folder for it to the run's result.
        output: the folder for runs.
        on_event: told what goes on, a line at a time.

    Returns:
        The content of folds.json, see `documents.Folds`.

    Raises:
        ConfigError: there are several workers.
        RunError: a run in the folder is damaged.
        TrainingInterrupted: Ctrl-C.
    """
    if cluster.several_machines():
        raise ConfigError("folds are trained on one machine: leave out --workers and TF_CONFIG")
    first = dataclasses.replace(planned, folds=None, fold=(1, planned.folds), notes=())
    folder = Path(output) / _name(planned, load(first))
    done = []
    try:
        for number in range(1, planned.folds + 1):
            on_event(f"fold {number} of {planned.folds}")
            fold = dataclasses.replace(first, fold=(number, planned.folds))
            done.append(_one(fold, folder, train, on_event))
    except TrainingInterrupted as error:
        raise TrainingInterrupted(error.run, "the same command again") from error
    top1 = [result.top1 for result in done]
    found = documents.Folds(
        path=str(folder),
        model=planned.model,
        dataset=done[0].dataset,
        folds=tuple(
            documents.Fold(number, result.run, result.examples, result.top1, result.top5)
            for number, result in enumerate(done, 1)
        ),
        top1=statistics.fmean(top1),
        std=statistics.stdev(top1),
        seconds=round(sum(result.seconds for result in done), 1),
    )
    documents.write(folder / runs.FOLDS, found)
    return dataclasses.asdict(found)


def _one(fold: Plan, folder: Path, train: Callable[[Plan, Path], dict], on_event) -> documents.Result:
    """The result of a fold's run: a finished one's, or that of a run that is gone on with, or of a new one."""
    begun = [runs.open_run(config.parent) for config in sorted(folder.glob(f"*/{runs.CONFIG}"))]
    own = [run for run in begun if run.config.data.fold == fold.fold]
    for run in own:
        if (run.path / runs.RESULT).is_file():
            result = documents.read(run.path / runs.RESULT, documents.Result, RunError)
            on_event(f"{run.path} is finished: top-1 {result.top1:.2%}")
            return dataclasses.replace(result, run=str(run.path))
    trained = train(dataclasses.replace(fold, resumed=own[0]) if own else fold, folder)
    return documents.read(Path(trained["run"]) / runs.RESULT, documents.Result, RunError)


def _name(planned: Plan, data: Data) -> str:
    common = {
        "options": networks.whole_configuration(planned.model, planned.options),
        "recipe": dataclasses.asdict(planned.recipe),
        "data": dataclasses.asdict(data.config),
        "fingerprint": data.fingerprint,
        "seed": planned.seed,
    }
    # Data that were moved are the same, and the fingerprint is told above.
    del common["data"]["data_dir"], common["data"]["fingerprint"]
    digest = hashlib.sha256(json.dumps(common, sort_keys=True).encode()).hexdigest()[:8]
    return f"{planned.model.replace(':', '-')}-{runs.dataset_name(data.config)}-{planned.folds}folds-{digest}"
