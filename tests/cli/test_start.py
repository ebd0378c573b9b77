"""`--help`, `list` and refusals answer at once, for they do not load TensorFlow."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import click
import pytest
from PIL import Image

from ftbnn_larq import recipe, runs, zoo
from ftbnn_larq.cli import commands
from ftbnn_larq.documents import DataConfig, Network, Training
from ftbnn_larq.errors import TrainingInterrupted
from ftbnn_larq.zoo import peers
from tests.conftest import ROOT, line_of_refusal, run_command, run_without_tensorflow


def paths(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words that lead to a command and to each of its subcommands."""
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from paths(each, (*path, name))


def test_every_command_has_help_with_an_example(tmp_path):
    asked = list(paths(commands))
    assert ("train",) in asked and ("tool", "fetch") in asked
    results = run_without_tensorflow(*((*path, "--help") for path in asked), cwd=tmp_path)
    for path, told in zip(asked, results, strict=True):
        words = " ".join(("ftbnn-larq", *path))
        assert (told.status, told.err) == (0, ""), path
        assert told.out.startswith(f"Usage: {words} ")
        assert re.search(rf"Example:\n +{words}\b", told.out), path


def test_help_writes_choices_as_they_are_typed(tmp_path):
    (told,) = run_without_tensorflow(("train", "--help"), cwd=tmp_path)
    words = " ".join(told.out.split())
    assert "[adam|sgd] sgd has" in words and "[hinton|distributional] hinton: " in words
    assert "[none|balanced] balanced: " in words and "[cosine|linear|constant] Decay " in words


def test_the_help_of_a_pass_leaves_out_all_of_it(tmp_path):
    (told,) = run_without_tensorflow(("convert", "--help"), cwd=tmp_path)
    words = " ".join(told.out.split())
    assert "Leave this out: name tensors after Keras's layers, and drop the names of constants." in words


def test_the_zoo_is_listed(tmp_path):
    version, table, document = run_without_tensorflow(("--version",), ("list",), ("list", "--json"), cwd=tmp_path)
    assert version.status == table.status == 0
    assert [row["name"] for row in document.out] == [*zoo.list_models(), *peers.NAMES]
    assert all(name in table.out for name in zoo.list_models())
    assert re.search(r"ftbnn_r18_pure:cifar10 +\d\d\.\d% +ftbnn-larq", table.out)
    assert re.search(r"larq_zoo:QuickNet:imagenet +63\.3% +larq-zoo", table.out)


def test_a_pattern_fits_the_names_of_models_and_of_trained_networks(command):
    def listed(pattern: str) -> list[str]:
        return [row["name"] for row in command("list", pattern, "--json").out]

    assert listed("*r34*") == [name for name in zoo.list_models() if "r34" in name]
    assert listed("ftbnn_r18_pure:*") == ["ftbnn_r18_pure"]
    assert listed("larq_zoo:QuickNet:imagenet") == ["larq_zoo:QuickNet"]


TO_KERAS = ("convert", "ftbnn_r18:cifar10", "--to", "keras")
# And what the line quotes or proposes.
REFUSED = [
    (("--nope",), "--nope"),
    (("nope",), "nope"),
    (("train",), "ftbnn_r18"),
    (("train", "nope"), "nope"),
    (("train", "ftbn_r18"), "ftbnn_r18"),
    (("train", "ftbnn_r18", "--width", 17), "17"),
    (("train", "ftbnn_r18", "--dataset", "folder:none"), "none"),
    (("summary", "nope"), "nope"),
    (("summary", "*r34*"), "`ftbnn-larq compare '*r34*'` shows them together"),
    (("compare", "nope"), "nope"),
    (("evaluate", "nope"), "nope"),
    (("evaluate",), "train"),
    (("convert", "--to", "tflit"), "tflite"),
    ((*TO_KERAS, "--softmax", "--explain", "--no-int8"), "softmax, explain, no-int8: keras keeps the network"),
    ((*TO_KERAS, "--groups", "fused", "--data-dir", "d"), "groups 'fused', data_dir 'd': keras keeps the network"),
    (("convert", "none.keras", "--to", "saved_model", "--dataset", "digits", "--preprocessing", "unit"), "tflite"),
    (("convert", "runs/none"), "runs/none"),
    (("convert", "none.keras"), "none.keras"),
    (("convert", "ftbnn_r18:cifar10", "--dataset", "digits"), "digits"),
    (("convert", "ftbnn_r18:cifar10", "--preprocessing", "raw"), "raw"),
    (("convert", "ftbnn_r18:cifar10", "--preprocessing", "rwa"), "rwa"),
    (("evaluate", "ftbnn_r18:cifar10", "--preprocessing", "rwa"), "raw"),
    (("evaluate", "ftbnn_r18:cifar10", "--on", "host"), "ssh:[user@]host"),
    (("evaluate", "ftbnn_r18:cifar10", "--on", "ssh:board", "--engine", "lce"), "leave the engine out"),
    (("deploy", "ftbnn_r18:cifar10", "--on", "adb"), "ssh:[user@]host"),
    (("deploy", "ftbnn_r18:cifar10", "--on", "usb"), "expected ssh:[user@]host[:port], or local for this machine"),
    (("predict", "ftbnn_r18:cifar10", "a.png", "--on", "usb"), "expected ssh:[user@]host[:port], or local"),
    (("deploy", "ftbnn_r18:cifar10", "--on", "ssh:board", "--to", "a:b"), "a:b"),
    (("deploy", "ftbnn_r18:cifar10", "--on", "ssh:board", "--remove"), "leave the file out"),
    (("deploy", "--on", "ssh:board", "--remove", "--verify", 3), "--verify 3: --remove leaves nothing to be verified"),
    (("predict", "ftbnn_r18:cifar10", "a.png", "--to", "other"), "say which one with --on"),
    (("evaluate", "ftbnn_r18:cifar10", "--to", "other"), "say which one with --on"),
    (("deploy", "none.keras", "--on", "ssh:board"), "none.keras"),
    (("benchmark", "ftbnn_r18:cifar10", "--on", "adb", "--engine", "ftbnn"), "needs Python"),
    (("evaluate", "none.keras"), "none.keras"),
    (("benchmark", "none.tflite"), "none.tflite"),
    (("benchmark", "--on", "usb"), "usb"),
    (("predict", "none.tflite", "none.png"), "none.tflite"),
    (("analyze", "linearity", "none"), "none"),
    (("analyze", "linearity", "ftbnn_r18:cifar10", "-o", "/"), "/linearity.png"),
    (("report",), "train"),
    (("tool", "fetch", "--arch", "arch64"), "aarch64"),
]


def test_what_cannot_be_is_refused_in_one_line(tmp_path):
    results = run_without_tensorflow(*(arguments for arguments, _ in REFUSED), cwd=tmp_path)
    for (arguments, words), result in zip(REFUSED, results, strict=True):
        assert words in line_of_refusal(result), arguments
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_any_length_leaves_room_for_the_advice(tmp_path):
    for length in (600, 3_000):
        (refused,) = run_without_tensorflow(("convert", "runs/" * (length // 5)), cwd=tmp_path)
        told = line_of_refusal(refused)
        assert told.endswith(
            "no such run folder; give a run folder, a .keras, .h5 or .hdf5 file, or NAME:DATASET of the zoo"
        )
        assert len(told) < 2_050


def test_a_file_of_ones_own_may_be_called_like_a_published_one(tmp_path):
    for suffix in (".tflite", ".json"):
        file = zoo.published("ftbnn_r18_pure", "cifar10", suffix)
        (tmp_path / f"ftbnn_r18:mine{suffix}").write_bytes(file.read_bytes())
    # Beyond the file it comes to the picture.
    (refused,) = run_without_tensorflow(("predict", "ftbnn_r18:mine.tflite", "none.png"), cwd=tmp_path)
    assert "none.png" in line_of_refusal(refused)


def test_what_is_proposed_can_be_typed(tmp_path):
    labels = ("cat", "dog")
    config = Training(Network("ftbnn_r18", {}, (32, 32, 3), 2), DataConfig("folder:My Pets", (32, 32, 3), labels))
    run = runs.create_run(tmp_path, config, recipe.Recipe()).path
    assert " " in run.name
    interrupted = str(TrainingInterrupted(run))
    without, several = run_without_tensorflow(("convert", run), ("summary", "ftbnn_*"), cwd=tmp_path)
    for told in (interrupted, line_of_refusal(without)):
        assert shlex.split(told.rpartition(" with")[2].lstrip(":")) == ["ftbnn-larq", "train", "--resume", str(run)]
    # A shell that is to show the models must not look for files.
    assert "`ftbnn-larq compare 'ftbnn_*'`" in line_of_refusal(several)


def test_python_m_is_the_command(tmp_path):
    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "ftbnn_larq", *words]
        path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        return subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
        )

    assert run("--version").stdout.startswith("ftbnn-larq, version")
    done = run("train", "nope")
    assert "ftbnn-larq: unknown model 'nope'" in line_of_refusal(
        SimpleNamespace(status=done.returncode, out=done.stdout, err=done.stderr)
    )


_PRINTS_A_PATH = """
import sys, click
from pathlib import Path
from ftbnn_larq import cli
from ftbnn_larq.cli.output import emit, json_option, table

@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def command(path, as_json):
    def show():
        click.echo(path)
        table("paths", ["path"], [[str(path)]])
    emit(as_json, {"path": str(path)}, show)

cli.main(command, "test")
"""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_path_that_is_no_text_is_printed_and_is_valid_json(encoding):
    name = b"caf\xe9.png"

    def run(*words) -> bytes:
        command = [sys.executable, "-c", _PRINTS_A_PATH, name, *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
        return subprocess.run(command, env=environment, capture_output=True, check=True).stdout

    assert run().count(b"caf") == 2
    assert os.fsencode(json.loads(run("--json"))["path"]) == name


@pytest.mark.slow
def test_predict_takes_a_picture_whose_name_is_no_text(tmp_path, command):
    name = os.fsdecode(b"caf\xe9.png")
    Image.new("RGB", (32, 32)).save(tmp_path / name)
    told = run_command("predict", "ftbnn_r18_pure:cifar10", name, cwd=tmp_path)
    assert told.status == 0 and told.out.startswith("caf\\udce9.png: "), told.err
    assert command("predict", "ftbnn_r18_pure:cifar10", name, "--json").out[0]["image"] == name


@pytest.mark.parametrize("arguments", [("--help",), ("list",), ("train", "nope")], ids=" ".join)
def test_it_takes_less_than_a_second_of_processor_time(tmp_path, arguments):
    def used() -> float:
        """By the processes that this one has started and that have ended, in seconds."""
        found = resource.getrusage(resource.RUSAGE_CHILDREN)
        return found.ru_utime + found.ru_stime

    before = used()
    run_command(*arguments, cwd=tmp_path)
    assert used() - before < 1
