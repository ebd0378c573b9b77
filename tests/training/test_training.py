"""Training: repeatable, resumable, and every key of a recipe does what it says. Two units train in seconds."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

import ftbnn_larq
from benchmarks import workers
from ftbnn_larq import data, recipe, runs, zoo
from ftbnn_larq.data import pipeline
from ftbnn_larq.documents import LengthChange
from ftbnn_larq.errors import ConfigError, RunError, TrainingError, TrainingInterrupted, UnknownNameError
from ftbnn_larq.files import sha256
from ftbnn_larq.models.config import ResNetConfig
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.training import checkpoints, distribution, loop, precision
from ftbnn_larq.training.student import Student
from ftbnn_larq.zoo.trained import load_run
from tests.conftest import ROOT, run_command
from tests.test_bad_input import picture_folder

OPTIONS = {"units": (1, 1), "width": 16, "widening": 2, "group_channels": 32}
NARROW = ("units=1,1", "widening=2", "group_channels=32")
COMMAND = ("train", "ftbnn_r18", *(part for option in NARROW for part in ("--set", option)), "--width", 16)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def fit(digits, tmp_path_factory):
    """Train the small network: `(result, run, history)`."""
    output = tmp_path_factory.mktemp("runs")

    def train(model="ftbnn_r18", options=OPTIONS, seed=0, callbacks=(), strategy=None, told=None, **keys):
        how = Recipe(**{"epochs": 1, "batch_size": 64, "warmup_epochs": 0, **keys})
        more = {"options": options, "seed": seed, "output": output, "callbacks": callbacks, "strategy": strategy}
        result = loop.start(model, digits, how, on_event=([] if told is None else told).append, **more)
        run = runs.open_run(result["run"])
        return result, run, list(csv.DictReader((run.path / "metrics.csv").open()))

    return train


@pytest.fixture(scope="module")
def trained_twice(fit):
    return fit(epochs=2), fit(epochs=2)


def weights(run: runs.Run, file: Path | None = None) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(file or run.weights) as opened:
        opened.visititems(lambda name, it: found.update({name: it[()]}) if isinstance(it, h5py.Dataset) else None)
    return found


def last_checkpoint(run: runs.Run) -> Path:
    return sorted((run.path / "checkpoints").glob("*.h5"))[-1]


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.slow
def test_a_step_is_traced_once(fit, monkeypatch):
    traced = []
    step = Student.train_step
    monkeypatch.setattr(Student, "train_step", lambda self, data: traced.append(1) or step(self, data))
    fit(epochs=2)
    assert len(traced) == 1


@pytest.mark.slow
def test_one_seed_gives_the_same_weights_bit_by_bit_and_another_one_others(trained_twice, fit):
    (_, one, _), (_, other, _) = trained_twice
    assert_same(weights(one), weights(other))
    # Optimizer, and what it has seen, included.
    assert_same(weights(one, last_checkpoint(one)), weights(other, last_checkpoint(other)))
    third = weights(fit(epochs=2, seed=1)[1])
    assert any((value != third[name]).any() for name, value in weights(one).items())


@pytest.mark.slow
def test_a_run_killed_at_any_moment_resumes_to_the_same_weights(tmp_path, command):
    training = (*COMMAND, "--epochs", "4", "--json")
    whole = command(*training)
    assert whole.status == 0, whole.err
    chance = random.Random(0)
    arguments = [sys.executable, str(ROOT / "cli.py"), *map(str, training), "--output", "killed"]
    for attempt in range(3):
        with subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            if any(line.startswith("epoch") for line in process.stderr):
                time.sleep(chance.uniform(0, 0.4) if attempt else 0)
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
def test_a_loss_that_is_no_number_stops_the_run_and_says_where(fit, tmp_path):
    with pytest.raises(TrainingError, match=r"the loss is nan at step \d+, in epoch 1: .* is in .*/ftbnn_r18-digits"):
        fit(learning_rate=1e30)


@pytest.mark.slow
def test_a_training_that_fails_leaves_the_terminal_its_cursor(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, COMMAND), "--lr", "1e30"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
            while part := os.read(ours, 1 << 16):
                said += part
    os.close(ours)
    assert process.returncode == 2 and b"the loss is nan" in said
    hidden, shown = b"\x1b[?25l", b"\x1b[?25h"
    assert said.rfind(shown) > said.rfind(hidden) > 0


@pytest.mark.slow
def test_two_trainings_never_write_one_folder(trained_twice, refused):
    (_, run, _), _ = trained_twice
    with runs.in_use(run), pytest.raises(RunError, match="by another process"), runs.in_use(run):
        pass
    with runs.in_use(run):
        assert "by another process" in refused("train", "--resume", run.path)


def test_a_run_is_resumed_as_what_it_is(trained_twice, refused):
    (_, run, _), _ = trained_twice
    assert "a run of ftbnn_r18, not of bireal_r18" in refused("train", "bireal_r18", "--resume", run.path)
    assert "trained on digits, not on mnist" in refused("train", "--resume", run.path, "--dataset", "mnist")
    assert "not width" in refused("train", "--resume", run.path, "--width", 32)
    assert "not learning_rate" in refused("train", "--resume", run.path, "--lr", 0.1)
    for name, *option in (
        ("input_size", "--input-size=16"),
        ("flip", "--no-flip"),
        ("mixup", "--mixup=0"),
        ("group_channels", "--set", "group_channels=none"),
    ):
        assert f"not {name}" in refused("train", "--resume", run.path, *option)


@pytest.mark.slow
def test_a_run_that_is_made_longer_goes_on_as_long_after_an_interruption_and_says_what_it_was(fit, command, tmp_path):
    class Interrupt(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

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
def test_a_stored_recipe_repeats_the_run(tmp_path, command):
    arguments = ("--epochs", 1, "--seed", 4, "--input-size", 10, "--flip", "--json")
    first = command(*COMMAND, *arguments)
    assert first.status == 0, first.err
    run = runs.open_run(tmp_path / first.out["run"])
    repeated = command("train", "--recipe", run.path / "recipe.toml", "--json")
    assert repeated.status == 0, repeated.err
    again = runs.open_run(tmp_path / repeated.out["run"])
    assert again.config == run.config
    assert_same(weights(run), weights(again))


@pytest.mark.slow
def test_a_run_goes_on_without_what_it_began_from_and_tells_no_result_until_it_has_one(fit, trained_twice, tmp_path):
    (_, source, _), _ = trained_twice
    moved = shutil.copytree(source.path, tmp_path / "source")
    _, run, _ = fit(init_from=str(moved))
    shutil.rmtree(moved)
    assert loop.resume(run.path)["epochs"] == 1

    class Interrupt(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted):
        loop.resume(run.path, epochs=4, callbacks=(Interrupt(),))
    # Its weights may be those of a later epoch now.
    assert not (run.path / "result.json").exists()
    assert loop.resume(run.path)["epochs"] == 4


def _with_checkpoint(run: runs.Run, folder: Path, change) -> Path:
    """A copy of a run whose newest checkpoint is changed: `change` gets its weights' path and its record."""
    copy = shutil.copytree(run.path, folder)
    file = last_checkpoint(runs.open_run(copy))
    record = json.loads(file.with_suffix("").with_suffix(".json").read_text())
    change(file, record)
    file.with_suffix("").with_suffix(".json").write_text(json.dumps(record))
    return copy


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_is_refused_before_anything_is_overwritten(trained_twice, tmp_path):
    (_, run, _), _ = trained_twice

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
        copy = _with_checkpoint(run, tmp_path / name, change)
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
            checkpoints.newest(runs.open_run(_with_checkpoint(run, tmp_path / name, change)))


@pytest.mark.slow
def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_leftovers_go(trained_twice, tmp_path):
    (_, run, _), _ = trained_twice
    copy = _with_checkpoint(run, tmp_path / "cut", lambda file, record: file.write_bytes(file.read_bytes()[:3000]))
    (copy / "checkpoints" / ".writing-abc").mkdir()
    (copy / "checkpoints" / ".writing-abc" / "epoch-0003.weights.h5").write_bytes(b"half")
    assert loop.resume(copy)["epochs"] == 2
    assert not list(copy.rglob(".writing-*"))
    assert_same(weights(run), weights(runs.open_run(copy)))
    for file in (copy / "checkpoints").glob("*.h5"):
        file.unlink()
    with pytest.raises(RunError, match="all of its 2 checkpoints are damaged: begin anew with"):
        loop.resume(copy, epochs=3)


def test_a_run_tells_its_whole_network_whatever_becomes_of_the_zoos_choices(trained_twice):
    (_, run, _), _ = trained_twice
    assert ResNetConfig(**run.config.model.options) == zoo.entry("ftbnn_r18").config.replace(**OPTIONS)


def test_the_zoo_has_a_complete_recipe_for_imagenet_and_says_what_it_is():
    text = Path(ROOT / "zoo/recipes/imagenet2012.toml").read_text()
    assert "not been run" in text
    how = zoo.recipe_for("imagenet2012")
    assert (how.epochs, how.schedule, how.batch_size) == (256, "linear", 512)
    assert zoo.recipe_for("imagenet2012:5.1.0") == how


def test_recipes_keep_paths_of_any_characters(tmp_path):
    how = Recipe(teacher='runs/ftbnn_r18-\N{CAT FACE}-\N{LATIN SMALL LETTER E WITH ACUTE}"\\')
    how.save(tmp_path / "recipe.toml")
    assert recipe.read(tmp_path / "recipe.toml") == how


def test_packages_that_are_not_installed_by_their_names_have_no_version_of_ours(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    found = runs.versions()
    assert found.pop("ftbnn-larq") == ftbnn_larq.__version__
    assert set(found.values()) == {"unknown"}


@pytest.mark.parametrize("path", sorted((ROOT / "zoo/recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_zoo_reads_and_opens_with_its_command(path):
    recipe.read(path)
    assert path.read_text().startswith("# ftbnn-larq train ")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", float("nan"), "not finite"),
        ("batch_size", -3, "above 0"),
        ("batch_size", 6.5, "not of type int"),
        ("label_smoothing", 1.0, "below 1"),
        ("ema", 1.0, "below 1"),
        ("random_augment", 2.0, "from 0 to 1"),
        ("patience", -1, "not be negative"),
        ("float_weights_epochs", 60, "leaves none"),
        ("head_epochs", 60, "head_epochs = 60 leaves none"),
        ("optimizer", "adan", "did you mean adam"),
        ("distillation", "hington", "did you mean hinton"),
    ],
)
def test_keys_that_cannot_be_used(key, value, words):
    with pytest.raises(ValueError, match=words):
        Recipe(**{key: value})


def test_precision_is_resolved_and_stored(trained_twice):
    (_, run, _), _ = trained_twice
    assert recipe.read(run.path / "recipe.toml").precision in ("float32", "bfloat16")


@pytest.mark.slow
def test_bfloat16_is_taken_where_it_is_fast_and_emulated_where_nothing_multiplies_it(fit, monkeypatch, tmp_path):
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
    found = {}
    for flags in ("sse4_2 avx avx2 fma", "avx2 avx512f", "avx512f avx512_bf16"):
        precision.CPU_INFO.write_text(f"flags : {flags}\n")
        found[flags] = precision.resolve("auto"), precision.attributes("bfloat16")["emulated"]
    assert [*found.values()] == [("float32", True), ("float32", False), ("bfloat16", False)]
    precision.CPU_INFO.write_text("flags : avx2\n")
    _, run, _ = fit(precision="bfloat16")
    assert recipe.read(run.path / "recipe.toml").precision == "bfloat16"


@pytest.mark.slow
def test_ema_keeps_averages_of_the_weights(fit):
    _, run, _ = fit(ema=0.5, batch_size=640, schedule="constant")
    stored = weights(run, last_checkpoint(run))
    kept = weights(run)
    assert np.abs(stored["layers/dense/vars/0"] - kept["layers/dense/vars/0"]).max() > 1e-5


@pytest.mark.slow
def test_flips_are_those_of_the_weights_that_go_on(fit):
    """Whether a run was resumed or not: what is validated are averages."""
    keys = {"ema": 0.9, "schedule": "constant", "precision": "float32"}
    _, _, whole = fit(epochs=2, **keys)
    _, run, _ = fit(epochs=1, **keys)
    loop.resume(run.path, epochs=2)
    resumed = list(csv.DictReader((run.path / "metrics.csv").open()))
    assert [row["flips"] for row in whole] == [row["flips"] for row in resumed]
    assert float(whole[1]["flips"]) > 0


@pytest.mark.slow
def test_early_stopping_ends_a_run_for_good(fit):
    # Nothing is learned at this rate, and the running statistics have come to rest.
    result, run, history = fit(epochs=30, patience=2, learning_rate=1e-12, batch_size=32)
    assert len(history) < 30
    best = max(range(len(history)), key=lambda index: (float(history[index]["val_top1"]), -index))
    assert len(history) == best + 1 + 2
    assert loop.resume(run.path)["epochs"] == result["epochs"] == len(history)


@pytest.mark.slow
def test_early_stopping_leaves_the_step_with_float_weights_alone(fit):
    _, _, history = fit(epochs=8, float_weights_epochs=4, patience=1, learning_rate=1e-12, schedule="linear")
    # Its schedule has come to its end where the other one's begins.
    rates = [float(row["learning_rate"]) for row in history]
    assert len(history) > 5 and rates[3] < min(rates[:3]) and rates[4] > rates[3]


@pytest.mark.slow
def test_two_steps_train_float_weights_first(fit):
    seen = []

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([layer.binary_weights for layer in self.model.layers if hasattr(layer, "binary_weights")])

    _, run, history = fit(epochs=2, float_weights_epochs=1, callbacks=(Look(),))
    assert [set(flags) for flags in seen] == [{False}, {True}]
    # Each step has its own schedule.
    assert float(history[0]["learning_rate"]) < 1e-4 and float(history[1]["learning_rate"]) < 1e-4
    assert all(layer.binary_weights for layer in load_run(run).layers if hasattr(layer, "binary_weights"))


@pytest.mark.slow
def test_the_head_learns_alone_first_and_a_run_interrupted_in_each_stage_ends_in_the_same_weights(fit, trained_twice):
    (_, source, _), _ = trained_twice
    before, seen = load_run(source), []

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            changed = set()
            for layer in before.layers:
                now = self.model.get_layer(layer.name) if layer.weights and layer.name != "probabilities" else layer
                for old, new in zip(layer.weights, now.weights, strict=True):
                    if (old.numpy() != new.numpy()).any():
                        changed.add("moving" if "moving" in old.name else layer.name)
            seen.append(changed)

    class Interrupt(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    keys = {"init_from": str(source.path), "epochs": 4, "head_epochs": 2, "ema": 0.5}
    _, whole, history = fit(callbacks=(Look(),), **keys)
    assert seen[0] == seen[1] == {"moving", "logits"}
    assert {"stem_conv", "logits"} < seen[2]
    # Each stage has its own schedule.
    rates = [float(row["learning_rate"]) for row in history]
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
    with pytest.raises(ConfigError, match="the head is frozen"):
        fit(freeze="logits", **keys)


@pytest.mark.slow
def test_frozen_layers_stay_as_they_were_initialised(fit, trained_twice):
    (_, source, _), _ = trained_twice
    _, run, _ = fit(init_from=str(source.path), freeze="stem*, stage1*", seed=5)
    before, after = load_run(source), load_run(run)
    for layer in before.layers:
        frozen = layer.name.startswith(("stem", "stage1"))
        for one, other in zip(layer.get_weights(), after.get_layer(layer.name).get_weights(), strict=True):
            assert (one == other).all() == frozen or not layer.trainable_weights, layer.name
    with pytest.raises(UnknownNameError, match="layer to freeze"):
        fit(freeze="steem*")


@pytest.mark.slow
def test_a_run_can_be_fine_tuned_to_other_classes(trained_twice, tmp_path):
    (_, grey, _), _ = trained_twice
    pets = data.load(picture_folder(tmp_path / "pets", cat=20, dog=20), input_size=8)
    birds = data.load(picture_folder(tmp_path / "birds", owl=20, hen=20, swan=20), input_size=8)
    how = Recipe(epochs=1, batch_size=8)
    source = load_run(runs.open_run(loop.start("ftbnn_r18", pets, how, options=OPTIONS, output=tmp_path)["run"]))
    first = runs.open_run(next(tmp_path.glob("ftbnn_r18-pets-*")))
    how = how.replace(init_from=str(first.path), learning_rate=1e-12)
    tuned = load_run(runs.open_run(loop.start("ftbnn_r18", birds, how, options=OPTIONS, output=tmp_path)["run"]))
    assert tuned.output_shape == (None, 3)
    for layer in source.layers:
        if layer.name != "logits":
            for one, other in zip(layer.trainable_weights, tuned.get_layer(layer.name).trainable_weights, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-6, err_msg=layer.name)
    # Grey pictures are given the channels of the network that it starts from.
    keys = {"dataset": "digits", "options": OPTIONS, "init_from": how.init_from, "epochs": 1, "output": tmp_path}
    on_digits = ftbnn_larq.train("ftbnn_r18", **keys)
    assert runs.open_run(on_digits["run"]).config.data.input_shape == (8, 8, 3)
    # Digits are grey, these are not.
    with pytest.raises(ConfigError, match=r"stem_conv is \[\(3, 3, 3, 8\)\] here"):
        loop.start("ftbnn_r18", pets, how.replace(init_from=str(grey.path)), options=OPTIONS, output=tmp_path)


@pytest.mark.slow
def test_a_new_head_for_other_classes(trained_twice, tmp_path):
    from ftbnn_larq.training import sources

    (_, source, _), _ = trained_twice
    network = zoo.create_model("ftbnn_r18", input_shape=(8, 8, 1), num_classes=7, **OPTIONS)
    assert sources.initialise(network, str(source.path)) == ["logits"]
    theirs = load_run(source)
    np.testing.assert_array_equal(network.get_layer("stem_conv").kernel, theirs.get_layer("stem_conv").kernel)
    # A head may be more than one layer: AlexNet's is a convolution and a batch norm.
    layers = tf.keras.layers

    def with_head(classes):
        body = [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.GlobalAveragePooling2D(keepdims=True)]
        head = [layers.Conv2D(classes, 1), layers.BatchNormalization(name="last")]
        return tf.keras.Sequential([tf.keras.Input((8, 8, 1)), *body, *head])

    with_head(10).save(tmp_path / "ten.keras")
    assert len(sources.initialise(with_head(7), str(tmp_path / "ten.keras"))) == 2
    with pytest.raises(ConfigError, match="same width"):
        wide = zoo.create_model("ftbnn_r18", input_shape=(8, 8, 1), num_classes=7, **{**OPTIONS, "width": 32})
        sources.initialise(wide, str(source.path))


@pytest.mark.slow
@pytest.mark.parametrize("distillation", ["hinton", "distributional"])
def test_a_student_comes_nearer_to_its_teacher(fit, trained_twice, distillation):
    (_, teacher, _), _ = trained_twice
    keys = {"teacher": str(teacher.path), "distillation": distillation, "distillation_weight": 1.0, "epochs": 3}
    _, run, history = fit(seed=3, **keys)
    parts = [float(row["distillation"]) for row in history]
    assert parts[-1] < parts[0]
    assert "val_distillation" not in history[0], "the teacher is not asked in validation"
    assert len(weights(run)) == len(weights(teacher)), "the teacher's weights are not the student's"


@pytest.mark.slow
def test_a_teacher_sees_pictures_as_it_learned_to(digits, trained_twice):
    """Whatever the data's mean and deviation are now: a folder may have got pictures since."""
    from ftbnn_larq.training import sources

    (_, run, _), _ = trained_twice
    other = dataclasses.replace(digits.config, mean=(0.2,), std=(0.7,))
    changed = dataclasses.replace(digits, config=other)
    own, seeing = (sources.teacher(str(run.path), loaded) for loaded in (digits, changed))
    pictures = next(digits.test.rows.batch(8).as_numpy_iterator())[0]
    answers = [
        teacher.predict_on_batch(pipeline.normalise(pictures, config))
        for teacher, config in ((own, digits.config), (seeing, other))
    ]
    np.testing.assert_allclose(*answers, atol=1e-3)


def test_a_teacher_with_other_classes_is_refused(fit, digits, tmp_path):
    other = zoo.create_model("bireal_r18", input_shape=(8, 8, 1), num_classes=4, units=(1,), width=16)
    other.save(tmp_path / "other.keras")
    with pytest.raises(ConfigError, match=r"teacher .*other\.keras has 4 classes, the data set has 10"):
        fit(teacher=str(tmp_path / "other.keras"))
    with pytest.raises(RunError, match="no such run folder"):
        fit(teacher="nobody")


@pytest.mark.slow
def test_larq_zoos_networks_train_at_our_width(fit):
    told = []
    result, run, history = fit("larq_zoo:BiRealNet", {"width": 16}, told=told)
    (line,) = told
    assert "larq_zoo:BiRealNet cannot be converted for 8x8 pictures" in line and "pads its 2x2 map" in line
    assert "take --input-size 24, or train it for Keras alone" in line
    assert load_run(run).get_layer("stem_conv").filters == 16
    assert float(history[0]["loss"]) < 4 and result["epochs"] == 1
    with pytest.raises(ConfigError, match="built as published"):
        fit("larq_zoo:QuickNet", {"width": 16})
    with pytest.raises(ConfigError, match="Larq's own layers"):
        fit("larq_zoo:BiRealNet", {"width": 16}, float_weights_epochs=1, epochs=2)
    keys = {"precision": "bfloat16", "learning_rate": 1e-12, "init_from": str(run.path)}
    _, tuned, _ = fit("larq_zoo:BiRealNet", {"width": 16}, **keys)
    assert recipe.read(tuned.path / "recipe.toml").precision == "float32"
    for one, other in zip(load_run(run).weights, load_run(tuned).weights, strict=True):
        if "moving" not in one.name:
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_what_can_be_watched(trained_twice):
    (_, run, history), _ = trained_twice
    assert 0 < float(history[-1]["flips"]) < 0.5
    assert (run.path / "curves.png").read_bytes().startswith(b"\x89PNG")
    tags = set()
    for file in (run.path / "tensorboard").rglob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            tags |= {value.tag for value in event.summary.value}
    assert {"epoch_loss", "epoch_top1", "epoch_learning_rate", "flips"} <= tags
    assert any("_act" in tag for tag in tags), "slopes"


@pytest.mark.slow
def test_memory_stays_flat_over_the_epochs(tmp_path):
    # In a process of its own, since what is told is the most that a process ever held.
    done = run_command(*COMMAND, "--epochs", 24, "--json", cwd=tmp_path)
    with (tmp_path / done.out["run"] / "metrics.csv").open() as opened:
        held = [float(row["memory_mb"]) for row in csv.DictReader(opened)]
    assert held[3] > 100
    assert held[-1] < 1.05 * held[3]


def ended(processes) -> list[tuple]:
    """What each has written, once all have ended well; where one doesn't, none is left running."""
    try:
        said = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said


@pytest.mark.slow
def test_two_processes_take_the_same_steps_as_one():
    # Float32 rounds sums in another order, which turns a sign now and then; float64 doesn't.
    four_units = {"units": (1, 1, 1, 1), "width": 16}
    alone, *joint = workers.compare("ftbnn_r18_baseline", four_units, "digits", None, dtype="float64", steps=20)
    assert len(alone) == 20
    for losses in joint:
        np.testing.assert_allclose(losses, alone, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_a_worker_that_writes_no_run_names_none(digits, monkeypatch, tmp_path):
    monkeypatch.setattr(distribution, "is_chief", lambda strategy: False)
    how = Recipe(epochs=1, batch_size=64)
    assert loop.start("ftbnn_r18", digits, how, options=OPTIONS, output=tmp_path)["run"] == "RUN-OF-RANK-0"
    with pytest.raises(TrainingError, match="is in RUN-OF-RANK-0"):
        loop.start("ftbnn_r18", digits, how.replace(learning_rate=1e30), options=OPTIONS, output=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_lost_worker_is_told_and_both_resume(tmp_path):
    addresses = ",".join(f"127.0.0.1:{port}" for port in workers.free_ports(2))
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, COMMAND), "--epochs", "400", "--workers", addresses]
    chief, other = (
        subprocess.Popen([*command, "--rank", str(rank)], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    )
    for line in chief.stderr:
        if line.startswith("epoch 2/"):
            break
    other.send_signal(signal.SIGKILL)
    said = chief.stderr.read()
    other.communicate()
    assert chief.wait(timeout=200) == 2, said
    (run,) = (tmp_path / "runs").iterdir()
    assert "another worker is gone" in said.splitlines()[-1] and f"--resume runs/{run.name}" in said
    addresses = ",".join(f"127.0.0.1:{port}" for port in workers.free_ports(2))
    epochs = len((run / "metrics.csv").read_text().splitlines())
    command = [sys.executable, str(ROOT / "cli.py"), "train", "--resume", str(run), "--epochs", str(epochs)]
    resumed = [
        subprocess.Popen(
            [*command, "--workers", addresses, "--rank", str(rank)], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    ended(resumed)
    assert json.loads((run / "result.json").read_text())["epochs"] == epochs


_STOPPED = """
import os, signal, time
from ftbnn_larq.training import distribution
signal.signal(signal.SIGTERM, signal.default_int_handler)
distribution.create_strategy()
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
except KeyboardInterrupt:
    os._exit(130)
"""


@pytest.mark.slow
def test_sigterm_reaches_a_worker_of_several_machines():
    (port,) = workers.free_ports(1)
    cluster = {"cluster": {"worker": [f"127.0.0.1:{port}"]}, "task": {"type": "worker", "index": 0}}
    environment = {**os.environ, "TF_CONFIG": json.dumps(cluster)}
    done = subprocess.run([sys.executable, "-c", _STOPPED], cwd=ROOT, env=environment, capture_output=True, timeout=200)
    assert done.returncode == 130, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--workers", "one:1,two:2"), "--workers and --rank go together"),
        (("--workers", "one,two:2", "--rank", 0), "'one' is not host:port"),
        (("--workers", "one:1", "--rank", 0), "two different workers"),
        (("--workers", "one:1,two:2", "--rank", 2), "take 0 to 1"),
    ],
)
def test_workers_that_cannot_be(refused, arguments, words):
    assert words in refused(*COMMAND, *arguments)


def test_a_batch_that_cannot_be_shared_evenly_is_refused(digits):
    from ftbnn_larq.training import distribution

    class Three:
        num_replicas_in_sync = 3

    with pytest.raises(ConfigError, match=r"batch size 64 cannot be shared evenly among 3 replicas: take 63"):
        distribution.check_batch(Recipe(batch_size=64), Three())
