"""`--help`, `list` and refusals answer at once, for they do not load TensorFlow."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator

import click
import pytest

from ftbnn_larq import zoo
from ftbnn_larq.cli import commands
from tests.conftest import line_of_refusal, run_command, run_without_tensorflow


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


def test_the_zoo_is_listed(tmp_path):
    version, table, document = run_without_tensorflow(("--version",), ("list",), ("list", "--json"), cwd=tmp_path)
    assert version.status == table.status == 0
    assert [row["name"] for row in document.out] == zoo.list_models()
    assert all(name in table.out for name in zoo.list_models())


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
    (("compare", "nope"), "nope"),
    (("evaluate", "nope"), "nope"),
    (("evaluate",), "train"),
    (("convert", "--to", "tflit"), "tflite"),
    (("convert", "runs/none"), "runs/none"),
    (("convert", "none.keras"), "none.keras"),
    (("convert", "ftbnn_r18:cifar10", "--dataset", "digits"), "digits"),
    (("convert", "ftbnn_r18:cifar10", "--preprocessing", "raw"), "raw"),
    (("convert", "ftbnn_r18:cifar10", "--preprocessing", "rwa"), "rwa"),
    (("evaluate", "ftbnn_r18:cifar10", "--preprocessing", "rwa"), "raw"),
    (("evaluate", "none.keras"), "none.keras"),
    (("benchmark", "none.tflite"), "none.tflite"),
    (("benchmark", "--on", "usb"), "usb"),
    (("predict", "none.tflite", "none.png"), "none.tflite"),
    (("analyze", "linearity", "none"), "none"),
    (("report",), "train"),
    (("tool", "fetch", "--arch", "arch64"), "aarch64"),
]


def test_what_cannot_be_is_refused_in_one_line(tmp_path):
    results = run_without_tensorflow(*(arguments for arguments, _ in REFUSED), cwd=tmp_path)
    for (arguments, words), result in zip(REFUSED, results, strict=True):
        assert words in line_of_refusal(result), arguments
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("--help",), ("list",), ("train", "nope")], ids=" ".join)
def test_it_takes_less_than_a_second_of_processor_time(tmp_path, arguments):
    def used() -> float:
        """By the processes that this one has started and that have ended, in seconds."""
        found = resource.getrusage(resource.RUSAGE_CHILDREN)
        return found.ru_utime + found.ru_stime

    before = used()
    run_command(*arguments, cwd=tmp_path)
    assert used() - before < 1
