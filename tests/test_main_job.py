"""The main job through the command line: train, evaluate, convert, benchmark, predict, on real scans."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.conftest import NETWORK, OPTIONS, ROOT, about, run_command


def test_a_run_holds_what_later_commands_and_people_need(trained):
    assert {path.name for path in trained.run.iterdir()} >= {
        "config.json",
        "recipe.toml",
        "metrics.csv",
        "tensorboard",
        "checkpoints",
        "best.weights.h5",
        "result.json",
    }
    rows = list(csv.DictReader((trained.run / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert json.loads((trained.run / "result.json").read_text()) == trained.result
    assert list((trained.run / "tensorboard").rglob("events*"))
    assert not list(trained.run.rglob(".writing-*"))


def test_training_learns(trained):
    assert trained.result["top1"] > 0.8
    assert trained.result["top5"] >= trained.result["top1"]
    assert trained.result["epochs"] == 6
    assert "validation top-1" in trained.log


def test_every_binary_layer_became_binary(trained):
    import ftbnn_larq

    model = ftbnn_larq.create_model("ftbnn_r18", input_shape=(8, 8, 1), num_classes=10, **OPTIONS)
    # One convolution a group, so that every kernel runs it.
    convolutions = sum(layer.groups for layer in model.layers if re.fullmatch(r"stage\d_unit\d_conv", layer.name))
    assert trained.conversion["binary_layers"] == trained.conversion["binary_operators"] == convolutions > 16
    assert trained.conversion["operators"]["LceBconv2d"] == convolutions
    assert trained.conversion["bytes"] == trained.flatbuffer.stat().st_size


def test_the_flatbuffer_gives_keras_answers(trained):
    assert trained.conversion["top1_agreement"] == 1
    assert trained.conversion["max_abs_diff"] <= 1e-3 * trained.conversion["logits_range"]


def test_keras_and_flatbuffer_have_one_accuracy_on_the_whole_test_split(trained, command):
    keras = command("evaluate", "--json", cwd=trained.folder)
    lce = command("evaluate", trained.flatbuffer, "--json", cwd=trained.folder)
    assert keras.out["examples"] == lce.out["examples"] == 360
    assert keras.out["top1"] == trained.result["top1"] == about(lce.out["top1"])
    assert "newest run" in keras.err


def test_benchmark_measures_the_newest_flatbuffer(trained, command):
    result = command("benchmark", "--runs", 5, "--json", cwd=trained.folder)
    (measured,) = result.out
    latency = measured["latency_ms"]
    assert 0 < latency["min"] <= latency["median"] <= latency["p95"]
    assert measured["runs"] == 5 and measured["threads"] == 1
    assert measured["peak_memory_mb"] > 1
    binary = trained.conversion["operators"]["LceBconv2d"]
    assert {"type": "LceBconv2d", "count": binary} in measured["operators"]
    if measured["device"]["architecture"] == "x86_64":
        assert measured["kernel"] == "indirect"


@pytest.mark.parametrize("kernel", ["default", "reference"])
def test_benchmark_takes_other_kernels(trained, kernel, command):
    result = command("benchmark", trained.flatbuffer, "--kernel", kernel, "--runs", 2, "--json", cwd=trained.folder)
    assert result.out[0]["kernel"] == kernel


def test_run_and_flatbuffer_predict_the_same_classes(trained, tmp_path, command):
    from sklearn.datasets import load_digits

    digits = load_digits()
    for index in range(3):
        Image.fromarray(np.uint8(digits.images[index] * 15.9375)).save(tmp_path / f"{index}.png")
    pictures = sorted(tmp_path.glob("*.png"))
    by_keras = command("predict", trained.run, *pictures, "--json", cwd=tmp_path)
    by_lce = command("predict", trained.flatbuffer, *pictures, "--json", cwd=tmp_path)
    assert [row["image"] for row in by_lce.out] == [str(path) for path in pictures]
    for one, other in zip(by_keras.out, by_lce.out, strict=True):
        assert [label for label, _ in one["top"]] == [label for label, _ in other["top"]]
        np.testing.assert_allclose([p for _, p in one["top"]], [p for _, p in other["top"]], atol=1e-3)
        assert 0 < sum(p for _, p in one["top"]) <= 1.0001


@pytest.mark.parametrize("to", ["keras", "saved_model"])
def test_other_formats_load_in_keras(trained, tmp_path, to, command):
    target = tmp_path / ("m.keras" if to == "keras" else "m")
    result = command("convert", trained.run, "--to", to, "-o", target, "--json", cwd=tmp_path)
    assert result.status == 0, result.err
    assert result.out["bytes"] > 100_000

    import ftbnn_larq as library

    model = library.create_model("ftbnn_r18", input_shape=(8, 8, 1), num_classes=10, **OPTIONS)
    model.load_weights(trained.run / "best.weights.h5")

    import tensorflow as tf

    pictures = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32)
    loaded = tf.keras.models.load_model(target)
    np.testing.assert_allclose(loaded(pictures), model(pictures), atol=1e-4)


def test_ctrl_c_leaves_a_run_that_resume_brings_to_the_same_weights(trained, tmp_path, command):
    training = [sys.executable, str(ROOT / "cli.py"), "train", *map(str, NETWORK), "--epochs", "6"]
    with subprocess.Popen(training, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("epoch 1/6"):
                process.send_signal(signal.SIGINT)
                break
        said = process.stderr.read()
        assert process.wait() == 130
    (run,) = (tmp_path / "runs").iterdir()
    assert f"go on with: ftbnn-larq train --resume runs/{run.name}" in said
    assert "Traceback" not in said
    resumed = command("train", "--resume", run, "--json")
    assert resumed.status == 0, resumed.err
    assert resumed.out["epochs"] == 6
    assert resumed.out["top1"] == trained.result["top1"]
    with h5py.File(run / "best.weights.h5") as one, h5py.File(trained.run / "best.weights.h5") as other:
        for name, values in _datasets(other).items():
            np.testing.assert_array_equal(_datasets(one)[name], values, err_msg=name)


def _datasets(file) -> dict:
    found = {}
    file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def test_a_damaged_checkpoint_is_skipped_with_a_word(trained, tmp_path):
    run = shutil.copytree(trained.run, tmp_path / "run")
    newest = sorted((run / "checkpoints").glob("*.weights.h5"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    # In a process of its own: within the tests pytest takes what is logged.
    resumed = run_command("train", "--resume", run, "--json", cwd=tmp_path)
    assert resumed.status == 0, resumed.err
    assert "a damaged checkpoint is skipped" in resumed.err
    assert resumed.out["epochs"] == 6
