"""Training: repeatable, and every key of a recipe does what it says. Two units train in seconds."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
import tensorflow as tf

import ftbnn_larq
from ftbnn_larq import recipe, runs, zoo
from ftbnn_larq.errors import ConfigError
from ftbnn_larq.models.config import ResNetConfig
from ftbnn_larq.training import loop, precision, sources
from ftbnn_larq.training.student import Student
from ftbnn_larq.zoo import networks
from ftbnn_larq.zoo.trained import load_run
from tests.conftest import ROOT, run_command
from tests.training.helpers import COMMAND, OPTIONS, assert_same, history, last_checkpoint, weights


@pytest.mark.slow
def test_one_seed_gives_the_same_weights_bit_by_bit_by_a_step_that_is_traced_once(finished, fit, monkeypatch):
    traced = []
    step = Student.train_step
    monkeypatch.setattr(Student, "train_step", lambda self, data: traced.append(1) or step(self, data))
    one, (_, other, _) = finished, fit(epochs=2)
    assert len(traced) == 1
    assert_same(weights(one), weights(other))
    # Optimizer, and what it has seen, included.
    assert_same(weights(one, last_checkpoint(one)), weights(other, last_checkpoint(other)))
    third = weights(fit(epochs=2, seed=1)[1])
    assert any((value != third[name]).any() for name, value in weights(one).items())


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


def test_a_run_tells_its_whole_network_whatever_becomes_of_the_zoos_choices(finished):
    assert ResNetConfig(**finished.config.model.options) == zoo.entry("ftbnn_r18").config.replace(**OPTIONS)


def test_packages_that_are_not_installed_by_their_names_have_no_version_of_ours(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    found = runs.versions()
    assert found.pop("ftbnn-larq") == ftbnn_larq.__version__
    assert set(found.values()) == {"unknown"}


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run_says_where_and_leaves_the_terminal_its_cursor(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, COMMAND), "--lr", "1e30"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
            while part := os.read(ours, 1 << 16):
                said += part
    os.close(ours)
    assert process.returncode == 2
    assert re.search(rb"the loss is nan at step \d+, in epoch 1: .* is in runs/ftbnn_r18-digits", said), said
    hidden, shown = b"\x1b[?25l", b"\x1b[?25h"
    assert said.rfind(shown) > said.rfind(hidden) > 0


def test_precision_is_resolved_and_stored(finished):
    assert recipe.read(finished.path / "recipe.toml").precision in ("float32", "bfloat16")


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
def test_early_stopping_ends_a_run_for_good(fit):
    # Nothing is learned at this rate, and the running statistics have come to rest.
    result, run, history = fit(epochs=30, patience=2, learning_rate=1e-12, batch_size=32)
    assert len(history) < 30
    best = max(range(len(history)), key=lambda index: (float(history[index]["val_top1"]), -index))
    assert len(history) == best + 1 + 2
    assert loop.resume(run.path)["epochs"] == result["epochs"] == len(history)


@pytest.mark.slow
def test_two_steps_train_float_weights_first_which_early_stopping_leaves_alone(fit):
    seen = []

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([layer.binary_weights for layer in self.model.layers if hasattr(layer, "binary_weights")])

    keys = {"patience": 1, "learning_rate": 1e-12, "schedule": "linear", "callbacks": (Look(),)}
    _, run, history = fit(epochs=8, float_weights_epochs=4, **keys)
    assert len(history) > 5
    assert [set(flags) for flags in seen] == [{False}] * 4 + [{True}] * (len(history) - 4)
    # Each step has its own schedule: that of the first has come to its end where the other one's begins.
    rates = [float(row["learning_rate"]) for row in history]
    assert rates[3] < min(rates[:3]) and rates[4] > rates[3]
    assert all(layer.binary_weights for layer in load_run(run).layers if hasattr(layer, "binary_weights"))


@pytest.mark.slow
def test_a_callback_that_stops_the_training_stops_all_parts_of_it(fit):
    class Enough(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    result, run, history = fit(epochs=4, float_weights_epochs=2, callbacks=(Enough(),))
    assert len(history) == result["epochs"] == 1
    assert loop.resume(run.path)["epochs"] == 4


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
    with pytest.raises(ConfigError, match=r"precision = bfloat16: .* in float32 only"):
        fit("larq_zoo:BiRealNet", {"width": 16}, precision="bfloat16")
    assert recipe.read(run.path / "recipe.toml").precision == "float32"
    # Its layers have other names each time that it is built.
    tuned = networks.rebuild(run.config.model)
    assert sources.initialise(tuned, str(run.path)) == []
    assert_same(dict(enumerate(load_run(run).get_weights())), dict(enumerate(tuned.get_weights())))


def test_what_can_be_watched(finished):
    assert 0 < float(history(finished)[-1]["flips"]) < 0.5
    assert (finished.path / "curves.png").read_bytes().startswith(b"\x89PNG")
    tags = set()
    for file in (finished.path / "tensorboard").rglob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            tags |= {value.tag for value in event.summary.value}
    assert {"epoch_loss", "epoch_top1", "epoch_learning_rate", "flips"} <= tags
    assert any("_act" in tag for tag in tags), "slopes"


@pytest.mark.slow
def test_memory_stays_flat_over_the_epochs(tmp_path):
    # In a process of its own, since what is told is the most that a process ever held.
    done = run_command(*COMMAND, "--epochs", 24, "--json", cwd=tmp_path)
    held = [float(row["memory_mb"]) for row in history(runs.open_run(tmp_path / done.out["run"]))]
    assert held[3] > 100
    assert held[-1] < 1.05 * held[3]
