"""Cross-validation: a run for each fold, gone on with where it was interrupted, and the mean of their top-1."""

from __future__ import annotations

import os
import statistics

import pytest
import tensorflow as tf

import ftbnn_larq
from ftbnn_larq import documents, runs
from ftbnn_larq.errors import ConfigError, RunError, TrainingInterrupted
from tests.test_bad_input import picture_folder
from tests.training.helpers import OPTIONS


class Interrupt(tf.keras.callbacks.Callback):
    """Ctrl-C in the second training."""

    trainings = 0

    def on_train_begin(self, logs=None):
        self.trainings += 1

    def on_epoch_end(self, epoch, logs=None):
        if self.trainings == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_the_same_command_goes_on_and_gives_mean_and_deviation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = picture_folder(tmp_path / "pets", cat=8, dog=9)
    asked = {"dataset": dataset, "options": OPTIONS, "folds": 2, "epochs": 2, "batch_size": 4, "input_size": 8}
    with pytest.raises(TrainingInterrupted, match="the same command again"):
        ftbnn_larq.train("ftbnn_r18", callbacks=(Interrupt(),), **asked)
    (folder,) = (tmp_path / "runs").iterdir()
    first, second = sorted(folder.iterdir())
    assert "pets-2folds-" in folder.name and "-fold1of2-" in first.name and "-fold2of2-" in second.name
    written = (first / runs.RESULT).stat().st_mtime_ns
    told = []
    result = ftbnn_larq.train("ftbnn_r18", on_event=told.append, **asked)
    assert sorted(folder.glob("*/")) == [first, second]
    assert (first / runs.RESULT).stat().st_mtime_ns == written
    assert any("is finished" in line for line in told) and any(line.startswith("resuming") for line in told)

    stored = documents.read(folder / runs.FOLDS, documents.Folds, RunError)
    assert [fold.examples for fold in stored.folds] == [9, 8] or [fold.examples for fold in stored.folds] == [8, 9]
    top1 = [fold["top1"] for fold in result["folds"]]
    assert (result["top1"], result["std"]) == (statistics.fmean(top1), statistics.stdev(top1))
    assert (stored.top1, stored.std, stored.path) == (result["top1"], result["std"], result["path"])
    # Each fold's run is a usual one: it is evaluated on the pictures that it was not trained on.
    for fold in stored.folds:
        answers = documents.read(tmp_path / fold.run / runs.ANSWERS, documents.Answers, RunError)
        evaluated = ftbnn_larq.evaluate(fold.run)
        assert (evaluated["examples"], evaluated["top1"]) == (fold.examples, fold.top1)
        assert [row["top1"] for row in evaluated["per_class"]] == [row.top1 for row in answers.per_class]
        assert len(answers.mistakes) == sum(row["examples"] for row in evaluated["confusion"])
    # The folder is the same by another path: a fold is not tested on what it was trained on.
    near = f"folder:{os.path.relpath(tmp_path / 'pets')}"
    assert ftbnn_larq.evaluate(stored.folds[0].run, dataset=near)["examples"] == stored.folds[0].examples
    # One more picture makes it another data set.
    picture_folder(tmp_path / "more", cat=8, dog=10)
    with pytest.raises(TrainingInterrupted):
        ftbnn_larq.train("ftbnn_r18", callbacks=(_Now(),), **{**asked, "dataset": f"folder:{tmp_path / 'more'}"})
    assert len(list((tmp_path / "runs").iterdir())) == 2


class _Now(tf.keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        raise KeyboardInterrupt


@pytest.mark.parametrize("told", ["{bad", "3", '{"cluster": 3}'])
def test_an_environment_that_is_not_tensorflows_is_told(monkeypatch, told):
    monkeypatch.setenv("TF_CONFIG", told)
    with pytest.raises(ConfigError, match=r"TF_CONFIG in the environment is .*: unset it"):
        ftbnn_larq.train("ftbnn_r18", folds=2)


def test_folds_are_not_for_several_machines(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}')
    with pytest.raises(ConfigError, match="folds are trained on one machine"):
        ftbnn_larq.train("ftbnn_r18", folds=2)
