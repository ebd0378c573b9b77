"""Odd arguments of the command line: unknown words, numbers of any size, names of any bytes, files that are none."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import random
import shutil
import sys
from pathlib import Path
from unittest import mock

from tests.fuzz import damage
from tests.fuzz.documents import OLD, a_run
from tests.fuzz.flatbuffers import SAMPLES

FILES = (
    "run",
    "model.tflite",
    "model.json",
    "recipe.toml",
    "empty",
    "folder",
    "nowhere",
    "model.keras",
    "loop",
    "weights.npz",
    "photo.png",
)
NAMES = (
    "ftbnn_r18",
    "ftbnn_r18:cifar10",
    "larq_zoo:QuickNet",
    "keras:MobileNetV2:int8",
    "keras:",
    ":",
    "a:b",
    "digits",
    "folder:",
    "folder:folder",
)
NAMES += (
    "ftbnn_*",
    "[",
    "[!",
    "*",
    "--",
    "-",
    "--json",
    "cifar10",
    "host",
    "ssh:",
    "ssh:a@[::1]:99999",
    "adb:",
    "local",
    "lce,ftbnn",
    ",",
    "1,4",
)
SETTINGS = ("widening", "units", "width", "slopes", "group_channels", "shortcut", "nonlinearity", "stem", "none", "")


@functools.cache
def commands() -> dict[tuple[str, ...], list]:
    """Each command and its parameters."""
    import click

    from ftbnn_larq.cli import commands as root

    found = {}

    def walk(command, way):
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                walk(inner, (*way, name))
        else:
            found[way] = command.params

    walk(root, ())
    return found


def _word(rng: random.Random) -> str:
    word = rng.choice((rng.choice(FILES), rng.choice(NAMES), rng.choice(damage.WORDS), str(damage.number(rng))))
    # The system passes no argument with a character 0, and no half of a character.
    return word.replace("\0", "0").replace("\ud800", "?")


def _value(rng: random.Random, parameter) -> str:
    if parameter.name == "others":
        numbers = ",".join(str(damage.number(rng)) for _ in range(rng.randint(1, 4)))
        return f"{rng.choice(SETTINGS)}{rng.choice(('=', '=', ''))}{rng.choice((numbers, _word(rng), ''))}"
    kind = parameter.type.name
    if kind in ("integer", "float", "integer range", "float range") and rng.random() < 0.8:
        return str(damage.number(rng))
    if kind == "choice" and rng.random() < 0.7:
        return rng.choice([*map(str, parameter.type.choices), _word(rng)])
    return _word(rng)


def drawn(rng: random.Random) -> list[str]:
    way, parameters = rng.choice(list(commands().items()))
    words = [*way]
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            # As they are meant to be, half of the time.
            words += [rng.choice((_word(rng), *FILES[:2], *NAMES[:2])) for _ in range(rng.choice((1, 1, 1, 0, 2)))]
        elif rng.random() < 2 / len(parameters):
            words.append(rng.choice(parameter.opts + parameter.secondary_opts))
            words += [] if parameter.is_flag else [_value(rng, parameter)]
    if rng.random() < 0.1:
        words.insert(
            rng.randint(0, len(words)), rng.choice((_word(rng), "--help", "--version", "-x", f"--{_word(rng)}"))
        )
    return words


def _fill(folder: Path) -> None:
    a_run(folder).rename(folder / "run")
    shutil.copy(SAMPLES / "plain.tflite", folder / "model.tflite")
    shutil.copy(SAMPLES / "plain.json", folder / "model.json")
    shutil.copy(OLD / "weights.npz", folder)
    shutil.copy(OLD / "run" / "recipe.toml", folder)
    shutil.copy(OLD / "every_layer.keras", folder / "model.keras")
    (folder / "empty").touch()
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")


@contextlib.contextmanager
def _inside(folder: Path):
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def refused(rng: random.Random, folder: Path) -> None:
    """All that a command does before TensorFlow is loaded, which fails here: what is not refused would be done."""
    from ftbnn_larq import cli

    _fill(folder)
    words = drawn(rng)
    out, err = io.StringIO(), io.StringIO()
    # Nothing is fetched: every address is refused at once.
    proxies = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "ftp")}
    with (
        _inside(folder),
        mock.patch.dict("os.environ", proxies),
        mock.patch.dict(sys.modules, {"tensorflow": None}),
        mock.patch.object(sys, "argv", ["ftbnn-larq", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            assert ended.code in (0, 2), f"status {ended.code} of {words}"
            assert ended.code == 0 or err.getvalue().strip() or out.getvalue(), f"{words} says nothing"
        except ModuleNotFoundError as error:
            if error.name != "tensorflow":
                raise
        except Exception as error:
            error.args = (f"{error} of {words}",)
            raise
