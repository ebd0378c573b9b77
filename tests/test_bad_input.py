"""Whatever is wrong is told in one line, with exit status 2, and leaves nothing half-written."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.boards.helpers import PLAIN


def picture_folder(root, **counts):
    """Class folders with that many small random pictures each."""
    generator = np.random.default_rng(0)
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(generator.integers(0, 255, (16, 16, 3), np.uint8)).save(root / label / f"{index}.png")
    return f"folder:{root}"


def train(*arguments):
    return "train", "ftbnn_r18", "--set", "units=1,1,1,1", "--epochs", 1, *arguments


def test_unknown_names_come_with_the_nearest(refused):
    assert "ftbnn_r18" in refused("train", "ftbn_r18")
    assert "cifar10" in refused(*train("--dataset", "cifar"))
    assert "fprelu" in refused(*train("--nonlinearity", "fprel"))
    assert "tflite" in refused("convert", "--to", "tflit")
    assert "no such run" in refused("convert", "runs/none")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--width", 17), "multiple of 16"),
        (("--width", 0), "multiple of 16"),
        (("--lr", 0), "learning_rate"),
        (("--batch-size", -1), "batch_size"),
        (("--epochs", "many"), "--epochs"),
        (("--seed", -1), "--seed"),
        (("--seed", 2**32 - 1), "--seed"),
        (("--recipe", "none.toml"), "none.toml"),
        (("--set", "slopes"), "FIELD=VALUE"),
        (("--set", "slops=1,0"), "did you mean slopes"),
        (("--set", "slopes=1,steep"), "not made of numbers"),
        (("--set", "slopes=2"), "several numbers"),
        (("--set", "group_channels=16"), "multiple of 32"),
        (("--set", "widening=1.3"), "widening"),
        (("--set", "units=2,0,2,2"), "at least 1"),
        (("--set", "units=18446744073709551616,1"), "none of them beyond 1,000,000"),
        (("--set", "units=1000,1"), "all have at most 150"),
        (("--set", "widening=1e308"), "none of them beyond 1,000,000"),
        (("--set", "widening=999999"), "take at most 32768"),
        (("--width", 512, "--set", "units=30,30,30,30"), "million weights: take at most 250"),
        (("--width", "1" + 400 * "0"), "a number of more than 20 digits"),
        (("--epochs", "1" + 400 * "0"), "must be at most 1,000,000"),
        (("--input-size", 5_000), "at most 4096 a side"),
        (("--input-size", "1" + 400 * "0"), "need more memory than the"),
    ],
)
def test_values_that_cannot_be_used(refused, arguments, words):
    assert words in refused(*train(*arguments))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("summary", "ftbnn_r18", "--classes", 10**12), "--classes"),
        (("compare", "ftbnn_r18", "--input-size", 10**6), "--input-size"),
        (("benchmark", "ftbnn_r18", "--threads", 10**6), "1024 are the most"),
        (("benchmark", "ftbnn_r18", "--runs", "1" + 400 * "0"), "1,000,000 are the most"),
        (("summary", "larq_zoo:BiRealNet", "--width", "1" + 400 * "0"), "from 1 to 32768"),
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_built(refused, arguments, words):
    assert words in refused(*arguments)


def test_a_model_that_is_not_listed_is_refused_with_the_nearest(refused):
    assert "unknown model 'ftbn_r18': did you mean ftbnn_r18" in refused("list", "ftbn_r18")
    assert "unknown model 'QUICKNET': did you mean larq_zoo:QuickNet" in refused("list", "QUICKNET")
    assert "unknown model '*nosuch*': known: " in refused("list", "*nosuch*")


def test_a_recipe_with_an_unknown_key_names_the_nearest(refused, tmp_path):
    (tmp_path / "r.toml").write_text("epoch = 3\n")
    assert "epochs" in refused(*train("--recipe", "r.toml"))
    (tmp_path / "r.toml").write_text("epochs = \n")
    assert "not TOML" in refused(*train("--recipe", "r.toml"))


def test_folders_that_are_no_data_set(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "is empty" in refused(*train("--dataset", "folder:empty"))
    assert "no such folder" in refused(*train("--dataset", "folder:none"))
    picture_folder(tmp_path / "flat", cat=3)
    assert "no class folders" in refused(*train("--dataset", f"folder:{tmp_path / 'flat' / 'cat'}"))
    assert "one class only" in refused(*train("--dataset", f"folder:{tmp_path / 'flat'}"))
    name = picture_folder(tmp_path / "hollow", cat=3, dog=0)
    assert "'dog' has no pictures" in refused(*train("--dataset", name))
    assert not (tmp_path / "runs").exists()


def test_an_unreadable_picture_is_named(refused, tmp_path):
    name = picture_folder(tmp_path / "pets", cat=8, dog=8)
    victim = tmp_path / "pets" / "dog" / "3.png"
    victim.write_bytes(victim.read_bytes()[:300])
    assert str(victim) in refused(*train("--dataset", name))
    victim.write_text("no picture at all")
    assert str(victim) in refused(*train("--dataset", name))


@pytest.mark.slow
def test_a_folder_of_class_folders_trains(tmp_path, command):
    name = picture_folder(tmp_path / "pets", cat=30, dog=30)
    result = command(*train("--dataset", name, "--width", 16, "--batch-size", 8, "--json"), cwd=tmp_path)
    assert result.status == 0, result.err
    evaluated = command("evaluate", "--json", cwd=tmp_path)
    assert evaluated.out["examples"] == 12
    assert evaluated.out["top1"] == result.out["top1"]


def test_batch_larger_than_the_split(refused):
    assert "larger than the training split" in refused(*train("--batch-size", 5000))


def test_runs_without_sound_weights(refused, trained, tmp_path):
    run = shutil.copytree(trained.run, tmp_path / "run")
    weights = run / "best.weights.h5"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    (run / "model.tflite").unlink()
    assert "best.weights.h5" in refused("convert", run)
    assert "best.weights.h5" in refused("evaluate", run)
    weights.unlink()
    assert "no best.weights.h5" in refused("convert", run)
    (run / "config.json").write_text("{")
    assert "damaged" in refused("evaluate", run)
    assert not list(run.rglob("*.tflite"))


@pytest.mark.parametrize("damage", ["half", "random", "empty", "flipped"])
def test_damaged_flatbuffers_never_take_the_command_down(refused, tmp_path, damage):
    whole = PLAIN.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, len(whole), np.uint8)
    flipped = np.frombuffer(whole, np.uint8).copy()
    flipped[16:4096] = noise[16:4096]
    content = {"half": whole[: len(whole) // 2], "random": noise.tobytes(), "empty": b"", "flipped": flipped.tobytes()}
    target = tmp_path / "model.tflite"
    target.write_bytes(content[damage])
    shutil.copy(PLAIN.with_suffix(".json"), tmp_path / "model.json")
    assert str(target) in refused("benchmark", target)
    assert str(target) in refused("evaluate", target)


def test_pictures_that_are_none(refused, tmp_path):
    (tmp_path / "note.png").write_text("hello")
    assert "note.png" in refused("predict", PLAIN, "note.png")
    assert "none.png" in refused("predict", PLAIN, "none.png")
    assert "--top" in refused("predict", PLAIN, "none.png", "--top", 0)


def test_a_flatbuffer_without_its_json_says_what_is_missing(refused, tmp_path, command):
    shutil.copy(PLAIN, tmp_path / "lone.tflite")
    assert "lone.json is missing" in refused("evaluate", "lone.tflite")
    # Its weights are random: all preprocessings do equally badly.
    assert "--preprocessing NAME" in refused("evaluate", "lone.tflite", "--dataset", "digits")
    arguments = ("--dataset", "digits", "--preprocessing", "standard")
    result = command("evaluate", "lone.tflite", *arguments, "--json", cwd=tmp_path)
    assert result.out["top1"] == command("evaluate", PLAIN, "--json").out["top1"]


def test_a_run_whose_pictures_are_gone_is_converted_and_says_what_is_not_proven(trained, tmp_path, command):
    run = shutil.copytree(trained.run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["data"]["name"] = f"folder:{tmp_path / 'gone'}"
    (run / "config.json").write_text(json.dumps(config))
    result = command("convert", run, "--json", cwd=tmp_path)
    assert result.status == 0, result.err
    assert result.out["proven_on"] == "noise" and result.out["top1"] is None
    assert "gone: no such folder" in result.out["no_data"]
    assert result.out["data"]["labels"] == config["data"]["labels"]
    config["data"]["name"] = "my_flowers"
    (run / "config.json").write_text(json.dumps(config))
    told = command("convert", run, cwd=tmp_path)
    assert "pictures of noise" in told.out
    assert "top-1 not measured" in told.err and "my_flowers" in told.err
    config["data"]["name"] = "mnist"
    (run / "config.json").write_text(json.dumps(config))
    not_fetched = command("convert", run, "--data-dir", tmp_path / "none", "--json", cwd=tmp_path)
    assert "mnist is not in" in not_fetched.out["no_data"] and "downloaded" not in not_fetched.out["no_data"]


def test_a_conversion_never_takes_the_place_of_another_file(refused, trained, tmp_path):
    run = shutil.copytree(trained.run, tmp_path / "run")
    config = (run / "config.json").read_bytes()
    assert "would overwrite" in refused("convert", run, "-o", run / "config.tflite")
    assert ".tflite" in refused("convert", run, "-o", run / "labels.json")
    assert (run / "config.json").read_bytes() == config


@pytest.mark.parametrize("to", ["tflite", "keras", "saved_model"])
def test_a_conversion_never_takes_the_place_of_a_folder(refused, trained, tmp_path, to):
    run = shutil.copytree(trained.run, tmp_path / "runs" / "run")
    before = sorted(tmp_path.rglob("*"))
    for output in (run, "runs/run", tmp_path / "runs", "."):
        assert "name a" in refused("convert", run, "--to", to, "-o", output, cwd=tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_keras_file_is_called_one(refused, trained):
    assert "call it net.keras" in refused("convert", trained.run, "--to", "keras", "-o", "net.h5")


def test_outputs_that_cannot_be_written(refused, trained, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in refused("convert", trained.run, "-o", tmp_path / "file" / "model.tflite")
    assert "file" in refused(*train("--output", tmp_path / "file"))


def test_a_full_disk_is_told_and_leaves_no_half_written_file(refused, trained, small_disk):
    disk = small_disk("1m")
    (disk / "filling").write_bytes(bytes(1 << 20))
    assert "space" in refused("convert", trained.run, "-o", disk / "model.tflite").lower()
    left = [path for path in disk.rglob("*") if path.suffix in (".h5", ".tflite") or ".writing" in path.name]
    assert left == []
