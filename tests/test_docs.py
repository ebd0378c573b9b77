"""README, docs, cards and CONTRIBUTING: every command on them is one that exists, and the cheap ones are run."""

from __future__ import annotations

import dataclasses
import importlib.util
import operator
import pkgutil
import re
import shlex
import shutil

import click
import numpy as np
import pytest
from PIL import Image

import ftbnn_larq
from benchmarks import console, main_job
from ftbnn_larq import cli, recipe
from ftbnn_larq.data import listing
from ftbnn_larq.models.config import CHOICES, ResNetConfig, option_from_text
from ftbnn_larq.zoo import networks
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("zoo/cards/*.md")]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)

# Beginnings of commands that are not the project's own, and why no test runs them.
NOT_OURS = {
    "python3 -m venv": "Python's own",
    ".uv/bin/": "uv, which brings Python and packages; CI runs it",
    ". .venv/bin/activate": "of what that made",
    "pip install": "minutes of downloads; CI runs it",
    "python -m pytest": "these tests",
    "ruff": "CI runs it",
    "clang-format": "CI runs it",
    "python runtime/build_library.py": "the tests in runtime/ run it",
    "ftbnn-classify": "the tests in runtime/ run it",
    "mkdocs build": "CI runs it",
    "tensorboard": "TensorFlow's, a server that runs until it is stopped",
    "ssh": "of the board that a test has not; tests/boards types it",
    "checkout=": "the shell's own",
    "cd": "the shell's own",
    "cp": "the system's own",
    "lint-imports": "CI runs it",
}
# Options of click and of other programs, and placeholders.
NOT_OUR_OPTIONS = {"--help", "--target", "--cc", "--use_indirect_bgemm", "--strict", "--no-NAME"}
# Commands that are run, on stand-ins for the files that pages name; others are checked up to where they would begin.
RUN = ("list", "summary", "compare", "evaluate", "predict", "benchmark", "analyze", "report")
# What a test has not: a board, CIFAR-10, or larq-zoo's server; tests/zoo/test_pretrained.py runs the commands for it.
OUT_OF_REACH = ("--on", "--data-dir", "larq_zoo:QuickNet:imagenet")


def blocks(language: str) -> dict[str, str]:
    """The blocks of a language on all pages, each once, and the page where it is."""
    return {
        block: page.relative_to(ROOT).as_posix()
        for page in PAGES
        for kind, block in FENCE.findall(page.read_text(encoding="utf-8"))
        if kind == language
    }


def commands(block: str) -> list[list[str]]:
    """The commands of a block of shell, in words."""
    found = []
    for line in block.replace("\\\n", " ").splitlines():
        parts = shlex.shlex(line, posix=True, punctuation_chars="&;|")
        parts.whitespace_split = True
        words = [[]]
        for part in parts:
            if set(part) <= set("&;|"):
                words.append([])
            else:
                words[-1].append(part)
        found += filter(None, words)
    return found


COMMANDS = {shlex.join(words): page for block, page in blocks("sh").items() for words in commands(block)}
# How the project's own command lines begin.
COMMAND = ("ftbnn-larq ", "python -m benchmarks.", "python -m tests.fuzz")
OURS = [line for line in COMMANDS if line.startswith(COMMAND)]


def split(line: str) -> tuple[click.Command, list[str]]:
    """The click command that a line names, and its arguments."""
    words = shlex.split(line)
    if words[0] == "ftbnn-larq":
        command, rest = cli.commands, words[1:]
    else:
        package = importlib.util.find_spec(words[2]).submodule_search_locations
        command, rest = importlib.import_module(f"{words[2]}.__main__" if package else words[2]).main, words[3:]
    while isinstance(command, click.Group) and rest:
        assert rest[0] in command.commands, line
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


@pytest.fixture
def place(trained, tmp_path):
    """A folder with what pages name: runs, a flatbuffer, a picture."""
    for name in ("ftbnn_r18-digits-20260102-030405", "ftbnn_r18-cifar10-20260102-030405"):
        shutil.copytree(trained.run, tmp_path / "runs" / name)
    shutil.copy(trained.flatbuffer, tmp_path / "model.tflite")
    shutil.copy(trained.flatbuffer.with_suffix(".json"), tmp_path / "model.json")
    Image.fromarray(np.full((40, 30), 200, np.uint8)).save(tmp_path / "photo.jpg")
    return tmp_path


def test_pages_have_commands():
    assert {"README.md", "docs/training.md", "docs/boards.md", "zoo/cards/ftbnn_r18.md"} <= set(COMMANDS.values())
    assert {split(line)[0].name for line in OURS} >= {"train", "convert", "benchmark", "predict", "fetch", "linearity"}


@pytest.mark.parametrize("line", sorted(set(COMMANDS) - set(OURS)))
def test_what_is_not_ours_is_known(line):
    plain = " ".join(shlex.split(line))
    assert any(plain.startswith(beginning) for beginning in NOT_OURS), f"{COMMANDS[line]}: {line}"


@pytest.mark.parametrize("line", OURS)
def test_commands_are_such_as_exist(line):
    command, rest = split(line)
    given = command.make_context(line, list(rest)).params
    if "others" in given:
        options = {key: given[key] for key in ("width", "nonlinearity") if given[key] is not None}
        options |= dict(map(option_from_text, given["others"]))
        models = given.get("model") or given.get("models")
        for name in [models] if isinstance(models, str) else models or []:
            if "*" not in name and "MODEL" not in name:
                networks.check(name, networks.options_of(name, options))
    keys = [field.name for field in recipe.fields() if field.name in given]
    recipe.Recipe().replace(**{key: given[key] for key in keys})


@pytest.mark.parametrize(
    "line", [line for line in OURS if line.split()[1] in RUN and not set(OUT_OF_REACH) & set(line.split())]
)
def test_cheap_commands_run(line, place, command):
    result = command(*shlex.split(line)[1:], cwd=place)
    assert result.status == 0, result.err
    assert result.out.strip()


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.splitlines()[-1][:40])
def test_blocks_of_python_are_such_as_exist(block):
    compile(re.sub(r"^ {4}", "", block, flags=re.MULTILINE) if block.startswith("    ") else block, "page", "exec")
    for name in re.findall(r"\bftbnn_larq\.([\w.]*\w)", block):
        operator.attrgetter(name)(ftbnn_larq)


@pytest.mark.parametrize(
    "block",
    [block for block, page in blocks("python").items() if page.startswith("docs") and "import ftbnn_larq" in block],
    ids=lambda block: block.splitlines()[-1][:40],
)
def test_blocks_of_python_run(block, place, monkeypatch):
    monkeypatch.chdir(place)
    exec(compile(block, "page", "exec"), {})


def options_of(command: click.Command) -> set[str]:
    inside = command.commands.values() if isinstance(command, click.Group) else ()
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return own.union(*map(options_of, inside))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_the_text_exist(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    every = options_of(cli.commands) | NOT_OUR_OPTIONS
    for span in re.findall(r"`([^`\n]+)`", text):
        known = every
        if span.startswith(COMMAND):
            known = options_of(split(span)[0])
        for option in re.findall(r"(?<!\S)--[\w-]+", span):
            assert option in known, f"{page.name}: {span}"


def test_the_zoo_page_has_every_field_and_choice():
    rows = {}
    for line in (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"\| `(\w+)` \| (.*)", line):
            rows[found[1]] = found[2]
    assert {field.name for field in dataclasses.fields(ResNetConfig)} <= set(rows)
    for field, choices in CHOICES.items():
        assert not [choice for choice in choices if f"`{choice}`" not in rows[field]], field


def test_the_data_page_has_every_word_that_makes_a_folder_a_split():
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| (training|validation|test) \| ([\w, ]+) \|$", page, re.MULTILINE))
    assert [set(told[split].split(", ")) for split in ("training", "validation", "test")] == [
        set(words.split()) for words in listing.WORDS.values()
    ]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_reference_is_of_what_exists():
    names = re.findall(r"heading: ftbnn_larq\.(\S+)", (ROOT / "docs" / "reference.md").read_text(encoding="utf-8"))
    assert "create_model" in names
    for name in names:
        assert callable(pkgutil.resolve_name(f"ftbnn_larq.{name}"))


def test_pages_are_in_the_navigation():
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in ROOT.glob("docs/*.md") if page.name not in listed] == []


def test_the_console_shows_the_main_job_and_says_what_it_leaves_out(tmp_path):
    stored = console.FILE.read_text(encoding="utf-8").replace("&#160;", " ")
    for words in main_job.COMMANDS:
        assert f"$ ftbnn-larq {' '.join(words)}" in stored
    assert "lines left out]" in stored and "url(" not in stored.replace("url(#", "")
    lines = console.printed(["list", "*r18*"], tmp_path)
    assert any("ftbnn_r18_pure" in line for line in lines)
    epochs = [f"epoch {number}/12: loss 1" for number in range(1, 13)]
    shown = [line.plain for line in console.shortened("train", ["training", "", *epochs, "top-1"])]
    assert shown == ["training", epochs[0], "[10 lines left out]", epochs[-1], "top-1"]
