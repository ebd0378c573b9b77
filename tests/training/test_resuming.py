"""Runs that were interrupted, killed or damaged go on to the same weights, or say why they cannot."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import ftbnn_larq
from ftbnn_larq import recipe, runs
from ftbnn_larq.documents import LengthChange
from ftbnn_larq.errors import ConfigError, RunError, TrainingInterrupted
from ftbnn_larq.files import sha256
from ftbnn_larq.training import checkpoints, loop
from ftbnn_larq.zoo.trained import load_run
from tests.conftest import ROOT
from tests.test_bad_input import picture_folder
from tests.training.helpers import COMMAND, OPTIONS, assert_same, history, last_checkpoint, weights


class Interrupt(tf.keras.callbacks.Callback):
    """Ctrl-C at the end of an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_killed_at_any_moment_resumes_to_the_same_weights(tmp_path, command):
    training = (*COMMAND, "--epochs", "4", "--json")
    whole = command(*training)
    assert whole.status == 0, whole.err
    arguments = [sys.executable, str(ROOT / "cli.py"), *map(str, training), "--output", "killed"]
    for attempt in range(2):
        with subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            if any(line.startswith("epoch") for line in process.stderr):
                time.sleep(random.Random(0).uniform(0, 0.4) if attempt else 0)
            if attempt:
                process.kill()
            else:
                # What clusters and systemd send.
                process.terminate()
                said = process.stderr.read().splitlines()[-1]
        (killed,) = (tmp_path / "killed").iterdir()
        if attempt == 0:
            assert (process.returncode, said) == (
                130,
                f"ftbnn-larq: {TrainingInterrupted(Path('killed') / killed.name)}",
            )
            arguments = [sys.executable, str(ROOT / "cli.py"), "train", "--resume", str(killed)]
            # What a kill in the middle of writing leaves.
            (killed / "checkpoints" / "epoch-0099.weights.h5").write_bytes(b"half")
    resumed = command("train", "--resume", killed, "--json")
    assert resumed.status == 0, resumed.err
    assert {**resumed.out, "run": 0, "seconds": 0} == {**whole.out, "run": 0, "seconds": 0}
    one, other = runs.open_run(killed), runs.open_run(tmp_path / whole.out["run"])
    assert_same(weights(one), weights(other))
    assert_same(
        weights(one, one.path / "checkpoints" / "epoch-0004.weights.h5"), weights(other, last_checkpoint(other))
    )


@pytest.mark.slow
def test_a_full_disk_stops_the_run_with_a_word_and_leaves_a_checkpoint_to_go_on_from(small_disk, tmp_path, command):
    disk = small_disk("8m")
    arguments = [*COMMAND, "--epochs", 400, "--output", disk]
    arguments = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
    with subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("epoch 2/"):
                space = shutil.disk_usage(disk).free
                (disk / "filling").write_bytes(bytes(max(0, space - 20_000)))
                break
        said = process.stderr.read()
        assert process.wait(timeout=120) == 2, said
    (run,) = (path for path in disk.iterdir() if path.is_dir())
    assert "Traceback" not in said
    told = rf"cannot continue after epoch \d+: {run}/\S+: No space left on device\..*--resume {run}$"
    assert re.search(told, said.splitlines()[-1]), said
    (disk / "filling").unlink()
    resumed = command("train", "--resume", run, "--epochs", 4, "--json")
    assert resumed.status == 0, resumed.err
    assert not list(run.rglob(".writing-*"))


@pytest.mark.slow
def test_a_training_killed_before_its_recipe_was_written_leaves_no_run(fit, tmp_path, monkeypatch):
    def killed(how, path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(recipe.Recipe, "save", killed)
        fit(output=tmp_path)
    assert not list(tmp_path.glob(f"*/{runs.CONFIG}"))


@pytest.mark.slow
def test_two_trainings_never_write_one_folder(finished, refused):
    with runs.in_use(finished), pytest.raises(RunError, match="by another process"), runs.in_use(finished):
        pass
    with runs.in_use(finished):
        assert "by another process" in refused("train", "--resume", finished.path)


def test_a_run_is_resumed_as_what_it_is(finished, refused):
    assert "a run of ftbnn_r18, not of bireal_r18" in refused("train", "bireal_r18", "--resume", finished.path)
    assert "trained on digits, not on mnist" in refused("train", "--resume", finished.path, "--dataset", "mnist")
    assert "not width" in refused("train", "--resume", finished.path, "--width", 32)
    assert "not learning_rate" in refused("train", "--resume", finished.path, "--lr", 0.1)
    for name, *option in (
        ("input_size", "--input-size=16"),
        ("flip", "--no-flip"),
        ("mixup", "--mixup=0"),
        ("group_channels", "--set", "group_channels=none"),
    ):
        assert f"not {name}" in refused("train", "--resume", finished.path, *option)


@pytest.mark.slow
def test_a_run_that_is_made_longer_goes_on_as_long_after_an_interruption_and_says_what_it_was(fit, command, tmp_path):
    _, run, _ = fit(epochs=1)
    with pytest.raises(TrainingInterrupted):
        loop.resume(run.path, epochs=3, callbacks=(Interrupt(),))
    with pytest.raises(ConfigError, match="has 2 epochs already"):
        loop.resume(run.path, epochs=1)
    assert loop.resume(run.path)["epochs"] == 3
    assert recipe.read(run.path / "recipe.toml").epochs == 3
    # The learning rate fell as in a run of one epoch first, so that its recipe alone does not repeat it.
    assert runs.open_run(run.path).config.length_changed == (LengthChange(after=1, of=1),)
    repeated = command("train", "--recipe", run.path / "recipe.toml", "--epochs", 1, "--json")
    assert "changed its length after epoch 1 of 1" in repeated.err
    assert runs.open_run(tmp_path / repeated.out["run"]).config.length_changed == ()


@pytest.mark.slow
def test_a_run_that_patience_stopped_goes_on_with_more_epochs_and_has_patience_anew(fit):
    _, run, rows = fit(epochs=30, patience=2, learning_rate=1e-12, batch_size=32)
    assert (stopped := len(rows)) < 30
    with pytest.raises(TrainingInterrupted):
        loop.resume(run.path, epochs=60, callbacks=(Interrupt(),))
    assert stopped + 2 <= loop.resume(run.path)["epochs"] < 60
    assert runs.open_run(run.path).config.length_changed == (LengthChange(after=stopped, of=30),)


@pytest.mark.slow
def test_the_best_weights_are_of_an_epoch_that_the_run_has(fit, tmp_path):
    class Late(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted):
        fit(epochs=4, callbacks=(Late(),), output=tmp_path)
    (path,) = tmp_path.iterdir()
    assert checkpoints.newest(runs.open_run(path)).epoch == 1 and len(history(runs.open_run(path))) == 3
    result = loop.resume(path, epochs=1)
    assert result["top1"] == result["last"]["top1"]


@pytest.mark.slow
def test_a_folder_with_other_pictures_than_those_of_the_training_is_told(tmp_path):
    dataset = picture_folder(tmp_path / "pets", cat=8, dog=9)
    asked = {"options": OPTIONS, "epochs": 1, "batch_size": 4, "input_size": 8, "output": tmp_path / "runs"}
    run = ftbnn_larq.train("ftbnn_r18", dataset=dataset, **asked)["run"]
    told = []
    ftbnn_larq.evaluate(run, on_event=told.append)
    assert told == []
    # The splits are cut by position: it moves pictures from one to another.
    Image.new("RGB", (16, 16)).save(tmp_path / "pets" / "cat" / "-new.png")
    ftbnn_larq.evaluate(run, on_event=told.append)
    ftbnn_larq.train(resume=run, on_event=told.append)
    others = [line for line in told if f"{dataset} has other pictures than at the training" in line]
    assert len(others) == 2 and all("may include pictures that it was trained on" in line for line in others)
    # A copy is another data set, and runs of before do not say their pictures.
    shutil.copytree(tmp_path / "pets", tmp_path / "copy")
    config = json.loads((Path(run) / runs.CONFIG).read_text())
    told.clear()
    ftbnn_larq.evaluate(run, dataset=f"folder:{tmp_path / 'copy'}", on_event=told.append)
    del config["data"]["fingerprint"]
    (Path(run) / runs.CONFIG).write_text(json.dumps(config))
    ftbnn_larq.evaluate(run, on_event=told.append)
    assert told == []


@pytest.mark.slow
def test_a_run_goes_on_without_what_it_began_from_and_tells_no_result_until_it_has_one(fit, finished, tmp_path):
    moved = shutil.copytree(finished.path, tmp_path / "source")
    _, run, _ = fit(init_from=str(moved))
    shutil.rmtree(moved)
    assert loop.resume(run.path)["epochs"] == 1

    with pytest.raises(TrainingInterrupted):
        loop.resume(run.path, epochs=4, callbacks=(Interrupt(),))
    # Its weights may be those of a later epoch now.
    assert not (run.path / "result.json").exists()
    assert loop.resume(run.path)["epochs"] == 4


@pytest.mark.slow
def test_the_head_learns_alone_first_and_a_run_interrupted_in_each_stage_ends_in_the_same_weights(fit, finished):
    before, seen = load_run(finished), []

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            changed = set()
            for layer in before.layers:
                now = self.model.get_layer(layer.name) if layer.weights and layer.name != "probabilities" else layer
                for old, new in zip(layer.weights, now.weights, strict=True):
                    if (old.numpy() != new.numpy()).any():
                        changed.add("moving" if "moving" in old.name else layer.name)
            seen.append(changed)

    keys = {"init_from": str(finished.path), "epochs": 4, "head_epochs": 2, "ema": 0.5}
    _, whole, rows = fit(callbacks=(Look(),), **keys)
    assert seen[0] == seen[1] == {"moving", "logits"}
    assert {"stem_conv", "logits"} < seen[2]
    # Each stage has its own schedule.
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[:2] == pytest.approx(rates[2:]) and rates[0] > rates[1]
    before_it = set(whole.path.parent.iterdir())
    with pytest.raises(TrainingInterrupted):
        fit(callbacks=(Interrupt(),), **keys)
    (interrupted,) = set(whole.path.parent.iterdir()) - before_it
    for _ in range(2):
        with pytest.raises(TrainingInterrupted):
            loop.resume(interrupted, callbacks=(Interrupt(),))
    assert loop.resume(interrupted)["epochs"] == 4
    run = runs.open_run(interrupted)
    assert_same(weights(whole), weights(run))
    assert_same(weights(whole, last_checkpoint(whole)), weights(run, last_checkpoint(run)))
    # Flips are those of the weights that go on: what is validated are averages.
    flips = [row["flips"] for row in rows]
    assert [row["flips"] for row in history(run)] == flips and float(flips[-1]) > 0


def _with_checkpoint(run: runs.Run, folder: Path, change) -> Path:
    """A copy of a run whose newest checkpoint is changed: `change` gets its weights' path and its record."""
    copy = shutil.copytree(run.path, folder)
    file = last_checkpoint(runs.open_run(copy))
    record = json.loads(file.with_suffix("").with_suffix(".json").read_text())
    change(file, record)
    file.with_suffix("").with_suffix(".json").write_text(json.dumps(record))
    return copy


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_is_refused_before_anything_is_overwritten(finished, tmp_path):

    def edited(name: str, shape: tuple | None):
        def change(file: Path, record: dict) -> None:
            with h5py.File(file, "a") as opened:
                del opened[name]
                if shape:
                    opened[name] = np.zeros(shape, np.float32)
            record["sha256"] = sha256(file)

        return change

    def cut(file: Path, record: dict) -> None:
        file.write_bytes(file.read_bytes()[:-3000])
        record["sha256"] = sha256(file)

    cases = {
        "other layers": (edited("layers/conv2d/vars/0", (3, 3, 1, 4)), r"is \(3, 3, 1, 4\) there"),
        "other optimizer": (edited("optimizer/vars/3", None), "not the state of this run's optimizer"),
        "cut": (cut, "damaged"),
    }
    for name, (change, words) in cases.items():
        copy = _with_checkpoint(finished, tmp_path / name, change)
        before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
        with pytest.raises(RunError, match=rf"epoch-0002\.weights\.h5.*{words}.*; to go on from the checkpoint"):
            loop.resume(copy, epochs=3)
        assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before, name
    records = {
        "rows": (lambda file, record: record["history"].pop(), r"epoch-0002\.json: damaged: history has 1 rows"),
        "keys": (lambda file, record: record["history"][1].pop("val_top1"), r"history\[1\]\.val_top1 is missing"),
        "epoch": (lambda file, record: record.update(epoch=1, history=record["history"][:1]), "epoch-0001.json is its"),
    }
    for name, (change, words) in records.items():
        with pytest.raises(RunError, match=words):
            checkpoints.newest(runs.open_run(_with_checkpoint(finished, tmp_path / name, change)))


@pytest.mark.slow
def test_the_newest_checkpoint_is_that_of_the_highest_number(finished, tmp_path):
    run = runs.open_run(shutil.copytree(finished.path, tmp_path / "long"))
    keeper = checkpoints.Keeper(run, load_run(run), [], steps=1, first=0, last=10_002)
    keeper.set_model(keeper.network)
    row = checkpoints.newest(run).history[-1]
    for epoch in (9_998, 9_999, 10_000, 10_001):
        keeper.history = [{**row, "epoch": number + 1} for number in range(epoch)]
        keeper.save(epoch)
    assert checkpoints.newest(run).epoch == 10_001
    assert len(list((run.path / "checkpoints").glob("*.json"))) == 2


@pytest.mark.slow
def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_leftovers_go(finished, tmp_path):
    copy = _with_checkpoint(finished, tmp_path / "cut", lambda file, record: file.write_bytes(file.read_bytes()[:3000]))
    (copy / "checkpoints" / ".writing-abc").mkdir()
    (copy / "checkpoints" / ".writing-abc" / "epoch-0003.weights.h5").write_bytes(b"half")
    # Its record was not written any more.
    (copy / "checkpoints" / "epoch-0003.weights.h5").write_bytes(b"whole")
    assert loop.resume(copy)["epochs"] == 2
    assert not list(copy.rglob(".writing-*")) and not list(copy.rglob("epoch-0003*"))
    assert_same(weights(finished), weights(runs.open_run(copy)))
    for file in (copy / "checkpoints").glob("*.h5"):
        file.unlink()
    with pytest.raises(RunError, match="all of its 2 checkpoints are damaged: begin anew with"):
        loop.resume(copy, epochs=3)
