"""What a training is to be: a new run, a run repeated, a run to go on with. Decided before TensorFlow is loaded."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from ftbnn_larq import recipe, runs, zoo
from ftbnn_larq.documents import DataConfig, LengthChange, Network, Training
from ftbnn_larq.errors import ConfigError, DataError, RunError, UnknownNameError
from ftbnn_larq.training.plan import plan
from tests.test_bad_input import picture_folder


@pytest.fixture
def run(tmp_path):
    """A run folder as a training of digits leaves it, but for its weights."""
    config = Training(
        Network("ftbnn_r18", {"width": 16}, (16, 16, 1), classes=10),
        DataConfig("digits", (16, 16, 1), tuple("0123456789"), flip=False),
        seed=7,
        length_changed=(LengthChange(after=2, of=4),),
    )
    return runs.create_run(tmp_path, config, recipe.Recipe(epochs=6, learning_rate=0.01))


def test_a_new_training_takes_the_recipe_of_its_data_set():
    planned = plan("ftbnn_r18", changes={"epochs": 3, "learning_rate": None})
    assert (planned.dataset, planned.seed, planned.resumed) == ("digits", 0, None)
    assert planned.recipe.epochs == 3


def test_a_training_that_begins_with_a_trained_network_takes_the_recipe_of_fine_tuning(run):
    start = {"init_from": "ftbnn_r18_pure:cifar10"}
    how = plan("ftbnn_r18_pure", changes=start).recipe
    assert how == zoo.recipe_for("digits", finetune=True).replace(**start)
    assert 0 < how.head_epochs < how.epochs
    # A shorter one has a shorter first stage, and an own word counts.
    short = {
        changes["epochs"]: plan("ftbnn_r18_pure", changes={**start, **changes}).recipe
        for changes in ({"epochs": 1}, {"epochs": 8}, {"epochs": 9, "head_epochs": 5}, {"epochs": 100})
    }
    assert [each.head_epochs for each in short.values()] == [0, 2, 5, how.head_epochs]
    assert plan("ftbnn_r18", recipe_file=run.path / runs.RECIPE, changes=start).recipe.head_epochs == 0
    with pytest.raises(ConfigError, match=r"head_epochs = 3: .* --init-from"):
        plan("ftbnn_r18", changes={"head_epochs": 3})


@pytest.mark.parametrize("start", [{"init_from": "ftbnn_r18_pure:cifar10"}, {"teacher": "ftbnn_r18_pure:cifar10"}])
def test_a_network_that_may_have_seen_what_a_fold_is_tested_on_is_told(start):
    (note,) = plan("ftbnn_r18_pure", dataset="cifar10", folds=5, changes=start).notes
    assert "ftbnn_r18_pure:cifar10" in note and "may have seen what is tested on" in note
    assert not plan("ftbnn_r18_pure", dataset="digits", folds=5, changes=start).notes
    assert not plan("ftbnn_r18_pure", dataset="cifar10", changes=start).notes


def test_a_recipe_from_windows_is_read_and_one_that_is_not_utf_8_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "mark.toml").write_bytes(b'\xef\xbb\xbfepochs = 3\r\nteacher = "caf\xc3\xa9"\r\n')
    how = recipe.read(tmp_path / "mark.toml")
    assert (how.epochs, how.teacher) == (3, "café")
    (tmp_path / "old.toml").write_text("epochs = 3\n", encoding="utf-16")
    with pytest.raises(ConfigError, match=r"old\.toml: not UTF-8 .*: save it as UTF-8"):
        recipe.read(tmp_path / "old.toml")


def test_the_recipe_of_a_run_repeats_the_run(run):
    planned = plan(recipe_file=run.path / runs.RECIPE)
    assert plan(recipe_file=run.path) == planned
    assert (planned.model, planned.options, planned.seed) == ("ftbnn_r18", {"width": 16}, 7)
    assert (planned.dataset, planned.input_size, planned.flip) == ("digits", 16, False)
    assert planned.recipe.learning_rate == 0.01
    (note,) = planned.notes
    assert "after epoch 2 of 4" in note and "no exact repetition" in note
    changed = plan(recipe_file=run.path / runs.RECIPE, seed=1, options={"nonlinearity": "relu"}, input_size=8)
    assert (changed.seed, changed.input_size) == (1, 8)
    assert changed.options == {"width": 16, "nonlinearity": "relu"}


def test_a_recipe_with_a_model_is_a_new_training(run):
    planned = plan("ftbnn_r18_pure", recipe_file=run.path / runs.RECIPE)
    assert (planned.model, planned.options, planned.seed, planned.notes) == ("ftbnn_r18_pure", {}, 0, ())


def test_a_run_goes_on_as_it_began(run):
    planned = plan(resume=run.path, changes={"epochs": 9}, data_dir="elsewhere")
    assert (planned.model, planned.resumed.path, planned.epochs) == ("ftbnn_r18", run.path, 9)
    assert (planned.recipe.epochs, planned.seed, planned.data_dir) == (9, 7, "elsewhere")
    with pytest.raises(ConfigError, match="is a run of ftbnn_r18, not of bireal_r18"):
        plan("bireal_r18", resume=run.path)
    with pytest.raises(ConfigError, match="was trained on digits, not on mnist"):
        plan(dataset="mnist", resume=run.path)
    with pytest.raises(ConfigError, match="only --epochs and --data-dir can be changed, not width, seed"):
        plan(resume=run.path, options={"width": 32}, seed=1)
    with pytest.raises(ConfigError, match="not recipe"):
        plan(resume=run.path, recipe_file="recipe.toml")
    with pytest.raises(RunError):
        plan(resume=run.path / "nothing")


def test_a_folder_is_the_same_by_any_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = picture_folder(tmp_path / "pets", cat=3, dog=3)
    data = DataConfig(whole, (16, 16, 3), ("cat", "dog"), mean=(0.5,) * 3, std=(0.2,) * 3, flip=False, fold=(2, 3))
    config = Training(Network("ftbnn_r18", {"width": 16}, (16, 16, 3), classes=2), data, seed=7)
    run = runs.create_run(tmp_path, config, recipe.Recipe(epochs=6))
    assert plan(resume=run.path, dataset="folder:pets").dataset == whole
    again = plan(recipe_file=run.path / runs.RECIPE, dataset="folder:pets")
    assert (again.dataset, again.input_size, again.flip, again.fold) == (whole, 16, False, (2, 3))


def test_what_cannot_be_planned_is_refused(tmp_path):
    for name in ("", "folder:", "folder:~nobody-of-that-name/pets"):
        with pytest.raises((DataError, UnknownNameError)):
            plan("ftbnn_r18", dataset=name)
    with pytest.raises(ConfigError, match="which model"):
        plan()
    with pytest.raises(UnknownNameError, match="did you mean ftbnn_r18"):
        plan("ftbnn_r81")
    with pytest.raises(UnknownNameError, match="did you mean epochs"):
        plan("ftbnn_r18", changes={"epoch": 3})
    with pytest.raises(UnknownNameError, match="data set"):
        plan("ftbnn_r18", dataset="digit")
    with pytest.raises(ConfigError, match="float_weights_epochs"):
        plan("larq_zoo:BiRealNet", changes={"float_weights_epochs": 1})
    for seed in (-1, 2**32 - 1, 0.5):
        with pytest.raises(ConfigError, match=f"seed {seed}: give a whole number"):
            plan("ftbnn_r18", seed=seed)


def test_what_would_have_no_effect_is_refused(run):
    with pytest.raises(ConfigError, match=r"precision = bfloat16: larq_zoo:BiRealNet .* in float32 only"):
        plan("larq_zoo:BiRealNet", changes={"precision": "bfloat16"})
    for changes in ({"distillation": "hinton"}, {"distillation_weight": 0.5}, {"temperature": 2.0, "teacher": ""}):
        with pytest.raises(ConfigError, match=f"{next(iter(changes))}: there is nobody to learn from: .* --teacher"):
            plan("ftbnn_r18", changes=changes)
    assert plan("ftbnn_r18", changes={"temperature": 2.0, "teacher": "ftbnn_r18:cifar10"}).recipe.temperature == 2
    with pytest.raises(ConfigError, match="not output"):
        plan(resume=run.path, output="elsewhere")


@pytest.mark.parametrize("key", ["init_from", "teacher"])
def test_a_path_that_a_recipe_cannot_hold_is_refused(key):
    with pytest.raises(ConfigError, match=rf"{key} = 'caf\\udce9' is not UTF-8.*: rename"):
        plan("ftbnn_r18", changes={key: os.fsdecode(b"caf\xe9")})


def test_folds_are_of_new_trainings(run, tmp_path):
    planned = plan(recipe_file=run.path / runs.RECIPE, folds=5)
    assert (planned.folds, planned.fold, planned.dataset) == (5, None, "digits")
    for folds in (1, 101, -3):
        with pytest.raises(ConfigError, match=f"{folds} folds: give 2 to 100"):
            plan("ftbnn_r18", folds=folds)
    with pytest.raises(ConfigError, match="not folds"):
        plan(resume=run.path, folds=5)
    # The run of a fold is repeated as one.
    of_fold = dataclasses.replace(run.config, data=dataclasses.replace(run.config.data, fold=(2, 3)))
    made = runs.create_run(tmp_path / "together", of_fold, recipe.Recipe())
    assert made.path.name.startswith("ftbnn_r18-digits-fold2of3-")
    assert plan(recipe_file=made.path / runs.RECIPE).fold == (2, 3)
    with pytest.raises(ConfigError, match="is a cross-validation: to go on, type the command again"):
        plan(resume=tmp_path / "together")


def test_a_damaged_run_is_not_repeated(run):
    (run.path / runs.CONFIG).write_text(json.dumps([]))
    with pytest.raises(RunError, match="damaged"):
        plan(recipe_file=run.path / runs.RECIPE)
