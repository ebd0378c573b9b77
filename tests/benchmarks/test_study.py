"""Studies: each variant once, goes on where it was stopped, one sound line a run."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from PIL import Image

import ftbnn_larq
from benchmarks import publish, results, study, subsets
from ftbnn_larq import documents, recipe, runs, zoo
from ftbnn_larq.errors import ConfigError, ConversionError, DataError, UnknownNameError
from ftbnn_larq.inference.evaluation import evaluate
from ftbnn_larq.models.weights import read_description, save_compact
from ftbnn_larq.zoo.trained import build as build_run
from tests.conftest import ROOT

STUDY = """
study = "tiny"
dataset = "digits"
recipe = "{recipe}"
epochs = 1
width = 16
seeds = [0]
variant = [
    {{ model = "ftbnn_r18_pure", options = {{ units = [1], slopes = [1.0, 0.25] }} }},
    {{ model = "ftbnn_r18_baseline", options = {{ units = [1] }}, seeds = [0, 1] }},
    {{ model = "ftbnn_r18_baseline", options = {{ units = [1] }}, \
recipe = "study learning_rate=0.02 schedule='constant' ema=0.99" }},
]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "HERE", tmp_path / "results")
    (tmp_path / "tiny.toml").write_text(STUDY.format(recipe="study"))
    return tmp_path


def run(here, *arguments):
    command = [str(here / "tiny.toml"), "--output", str(here / "runs"), *arguments]
    return CliRunner().invoke(study.main, command, catch_exceptions=False)


@pytest.mark.slow
def test_a_study_writes_one_line_a_run_and_goes_on_where_it_stopped(here):
    first = run(here, "--limit", "2")
    assert first.exit_code == 0, first.stderr
    assert len(results.read("tiny")) == 2
    second = run(here)
    assert second.exit_code == 0, second.stderr
    rows = results.read("tiny")
    assert [(row["model"], row["seed"], row["recipe"]) for row in rows] == [
        ("ftbnn_r18_pure", 0, "study"),
        ("ftbnn_r18_baseline", 0, "study"),
        ("ftbnn_r18_baseline", 0, "study learning_rate=0.02 schedule='constant' ema=0.99"),
        ("ftbnn_r18_baseline", 1, "study"),
    ]
    assert second.stderr.count("top-1") >= 1 and "ftbnn_r18_pure" not in second.stderr
    for row in rows:
        assert 0 < row["top1"] < 1 and abs(row["flatbuffer_top1"] - row["top1"]) < 0.01
        assert row["params_binary"] == 9 * 16 * 16 and row["bytes"] > 1000 and row["ops"] > 1000
        assert re.fullmatch(r"ftbnn-larq .*; precision (float32|bfloat16)", row["versions"])
        assert row["date"].startswith("20")
    assert json.loads(rows[0]["options"]) == {"slopes": [1.0, 0.25], "units": [1]}
    assert len(list((here / "results" / "weights" / "tiny").glob("*.npz"))) == 4
    assert len(list((here / "runs" / "tiny").glob("*/*/result.json"))) == 4
    changed = (here / "runs" / "tiny" / results.run_name(rows[2])).glob("*/recipe.toml")
    assert recipe.read(next(changed)).learning_rate == 0.02
    assert results.variants("tiny")[-1].changes == ["units 1", "learning_rate 0.02", "schedule 'constant'", "ema 0.99"]
    # What is kept of a line makes a run again, to be published.
    again, averaged = (
        publish.run_of_line(results.weights_path(row), here / "again", None) for row in (rows[0], rows[2])
    )
    assert evaluate(again)["top1"] == pytest.approx(rows[0]["top1"])
    assert evaluate(averaged)["top1"] == pytest.approx(rows[2]["top1"])
    assert recipe.read(again / "recipe.toml").epochs == 1
    with pytest.raises(ConfigError, match="no line of"):
        publish.run_of_line(here / "results" / "weights" / "tiny" / "other.npz", here / "again", None)


@pytest.mark.slow
def test_a_study_takes_its_pictures_from_a_folder_and_says_so(here):
    """The line has the data set's name; where the pictures are on this machine is kept nowhere."""
    for number in range(240):
        label = here / "pictures" / ("dark", "light")[number % 2]
        label.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, number // 2, 255 * (number % 2))).save(label / f"{number}.png")
    variant = STUDY[STUDY.index("    {{ model") : STUDY.index("seeds = [0, 1]")].partition("\n")[0]
    text = STUDY[: STUDY.index("    {{ model")] + variant + "\n]\n"
    (here / "tiny.toml").write_text(text.format(recipe="study").replace("digits", "shades"))
    done = run(here, "--pictures", f"folder:{here / 'pictures'}")
    assert done.exit_code == 0, done.stderr
    (row,) = results.read("tiny")
    assert row["dataset"] == "shades" and "; pictures folder; precision " in row["versions"]
    described = read_description(results.weights_path(row))
    assert described.data.name == "shades" and str(here) not in repr(described)
    again = run(here, "--flatbuffers", "--pictures", f"folder:{here / 'pictures'}")
    assert again.exit_code == 0, again.stderr


def test_a_variant_takes_a_few_classes_and_pictures_of_its_data_set(tmp_path):
    for number, label in enumerate("abcde"):
        for split, count in (("train", 20), ("test", 6)):
            place = tmp_path / "all" / split / label
            place.mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (8, 8), (number, index, 0 if split == "train" else 9)).save(place / f"{index:02}.png")
    place = {"data_dir": None, "pictures": f"folder:{tmp_path / 'all'}", "channels": None}
    loaded = subsets.load("letters classes=2 pictures=16 input_size=16", tmp_path / "links", **place)
    assert loaded.config.labels == ("a", "c") and loaded.config.input_shape == (16, 16, 3)
    # Every eighth is for validation, and all test pictures are there.
    assert [split.examples for split in (loaded.train, loaded.validation, loaded.test)] == [28, 4, 12]
    links = sorted(path.resolve() for path in (tmp_path / "links").rglob("train/c/*"))
    assert links == [tmp_path / "all" / "train" / "c" / f"{index:02}.png" for index in range(16)]
    assert subsets.load("digits input_size=12", tmp_path, **{**place, "channels": 3}).config.input_shape == (12, 12, 3)
    for words, told in (("letters pictures=21", "class 'a' has 20 pictures"), ("letters classes=6", "needs 6 classes")):
        with pytest.raises(ConfigError, match=told):
            subsets.load(words, tmp_path / "links", **place)
    with pytest.raises(ConfigError, match="--pictures folder:PATH"):
        subsets.load("letters classes=2", tmp_path / "links", **{**place, "pictures": None})


def test_what_the_user_can_mend_is_one_line(tmp_path):
    command = [sys.executable, "-m", "benchmarks.study", str(tmp_path / "none.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("ftbnn-larq: ") and "none.toml" in done.stderr


@pytest.mark.slow
def test_a_run_that_ends_in_nan_is_recorded_and_the_study_goes_on(here, monkeypatch):
    how = study.recipe_of("study", 1).replace(learning_rate=1e30)
    monkeypatch.setattr(study, "recipe_of", lambda name, epochs: how)
    (job, *_) = study.read(here / "tiny.toml")
    row = study.train(job, here / "runs" / job.name, None)
    results.add("tiny", row)
    (read,) = results.read("tiny")
    assert math.isnan(read["top1"]) and read["bytes"] is None


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        ("epochs =", "epoch =", UnknownNameError, "did you mean epochs"),
        ("ftbnn_r18_pure", "ftbnn_r18_pur", UnknownNameError, "ftbnn_r18_pure"),
        ("units = [1], slopes", "unit = [1], slopes", UnknownNameError, "units"),
        ('recipe = "study"', 'recipe = ""', UnknownNameError, "recipe"),
        ('recipe = "study"', 'recipe = "studdy"', UnknownNameError, "study"),
        ("study learning_rate", "study learning_rat", UnknownNameError, "did you mean learning_rate"),
        ("study learning_rate=0.02", "study 0.02", ConfigError, "KEY=VALUE"),
        ("study learning_rate=0.02", "study epochs=7", ConfigError, "study's `epochs`"),
        ("width = 16", "width = 17", ConfigError, "multiple of 16"),
        ('dataset = "digits"', 'dataset = "digits size=32"', UnknownNameError, "input_size"),
        ('dataset = "digits"', 'dataset = "digits input_size=0"', ConfigError, "no number above 0"),
        ("units = [1], slopes", "width = 32, slopes", ConfigError, "width = 32: a study's `width`"),
        ("seeds = [0]\n", "", ConfigError, "seeds is missing"),
        ("epochs = 1", 'epochs = "1"', ConfigError, "not of type int"),
        ("variant = [", "variant = ", ConfigError, "not TOML"),
    ],
)
def test_study_files_that_cannot_be_run(here, old, new, error, words):
    (here / "tiny.toml").write_text(STUDY.format(recipe="study").replace(old, new, 1))
    with pytest.raises(error, match=words):
        study.read(here / "tiny.toml")


def test_a_recipe_that_larq_zoos_networks_cannot_take_is_refused_before_anything_is_trained(here):
    variant = '{ model = "larq_zoo:BiRealNet", recipe = "study float_weights_epochs=1" }'
    text = STUDY.format(recipe="study").replace("epochs = 1", "epochs = 2", 1).replace("\n]", f"\n    {variant},\n]")
    (here / "tiny.toml").write_text(text)
    with pytest.raises(ConfigError, match="float_weights_epochs = 1: larq_zoo:BiRealNet"):
        study.read(here / "tiny.toml")


def row(**changes) -> dict:
    plain = dict.fromkeys(results.COLUMNS, "")
    numbers = {"width": 16, "seed": 0, "epochs": 1, "top1": 0.5, "ops": 1.0, "seconds": 2.0}
    return {**plain, **numbers, "study": "tiny", "model": "m", "options": "{}", **changes}


def test_runs_of_another_data_set_or_recipe_have_another_name():
    recipes = ("study", "digits", "study learning_rate=0.004")
    rows = [row(dataset=dataset, recipe=recipe) for dataset in ("cifar10", "digits") for recipe in recipes]
    assert len({results.run_name(each) for each in rows}) == 6
    # Weights are stored under these.
    assert results.run_name(rows[0]) == "m-plain-w16-e1-s0" and results.run_name(rows[2]) == "m-df4960-w16-e1-s0"


def test_an_edited_recipe_is_told_with_the_commit(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a", *arguments], cwd=tmp_path, check=True)

    recipes = tmp_path / "zoo" / "recipes"
    recipes.mkdir(parents=True)
    (recipes / "study.toml").touch()
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "a")
    monkeypatch.setattr(zoo, "HERE", tmp_path / "zoo")
    assert re.fullmatch("[0-9a-f]+", study.commit())
    (recipes / "study.toml").write_text("epochs = 2")
    assert study.commit().endswith("+")


@pytest.fixture
def begun(here):
    """A job, its row, and its run without a line yet; data are nowhere."""
    (job, *_) = study.read(here / "tiny.toml")
    network = documents.Network(job.model, {**job.options, "width": 16}, (8, 8, 1), classes=10)
    data = documents.DataConfig("digits", (8, 8, 1), tuple("0123456789"), data_dir="old")
    run = runs.create_run(here / "runs", documents.Training(network, data), recipe.Recipe())
    return job, row(**job.key, bytes=7, flatbuffer_top1=0.5), run


def test_a_begun_run_goes_on_with_data_that_were_moved(begun, here, monkeypatch):
    job, *_ = begun
    asked = []

    def resume(path, *, data_dir=None, callbacks):
        asked.append(data_dir)
        return {"run": path, "last": {"top1": 0.5}, "seconds": 1.0}

    def last_epoch(run, *, data_dir):
        asked.append(data_dir)
        return build_run(run)

    monkeypatch.setattr("ftbnn_larq.training.loop.resume", resume)
    monkeypatch.setattr("ftbnn_larq.training.loop.last_epoch", last_epoch)
    monkeypatch.setattr(study, "flatbuffer", lambda network, data, data_dir: asked.append(data_dir) or {})
    study.train(job, here / "runs", "new")
    study.train(job, here / "runs", None)
    assert asked == ["new", "new", "new", None, None, "old"]


def test_a_conversion_that_is_refused_leaves_no_figures_of_an_older_one(begun, here, monkeypatch):
    def refuse(*arguments):
        raise ConversionError("no")

    _, line, run = begun
    described = dataclasses.replace(run.config, data=ftbnn_larq.data.load("digits").config)
    save_compact(build_run(run), results.weights_path(line), described)
    monkeypatch.setattr("ftbnn_larq.conversion.convert.convert_model", refuse)
    results.add("tiny", study.again(line, None))
    (read,) = results.read("tiny")
    assert read["bytes"] is read["flatbuffer_top1"] is None
    assert results.variants("tiny")[0].bytes is None


def test_a_damaged_line_is_named(here):
    results.add("tiny", row())
    results.add("tiny", row(seed=1))
    results.add("tiny", row(seed=1, top1=0.75))
    assert [line["top1"] for line in results.read("tiny")] == [0.5, 0.75]
    file = results.path("tiny")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], lines[2].rsplit(",", 3)[0]]))
    with pytest.raises(DataError, match="line 3: 15 cells in place of 18"):
        results.read("tiny")
    file.write_text("\n".join([lines[0], lines[1].replace("0.5", "half")]))
    with pytest.raises(DataError, match=r"line 2: .*half"):
        results.read("tiny")
    file.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="line 1"):
        results.read("tiny")


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks/studies").glob("*.toml")), ids=lambda path: path.stem)
def test_every_study_can_be_run_and_its_results_are_sound(file):
    jobs = study.read(file)
    assert {job.study for job in jobs} == {file.stem}
    known = {tuple(job.key[name] for name in results.KEY) for job in jobs}
    for line in results.read(file.stem):
        assert tuple(line[name] for name in results.KEY) in known, "a line of a run that the study no longer has"
        assert line["commit"] and line["versions"]


def test_results_are_plain_csv(here):
    results.add("tiny", row(options='{"a": [1, 2]}'))
    with results.path("tiny").open() as opened:
        (line,) = csv.DictReader(opened)
    assert line["options"] == '{"a": [1, 2]}'
