"""A classifier on a board: the stock interpreter, ftbnn-runtime and a flatbuffer in a folder there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ftbnn_larq import leash, zoo
from ftbnn_larq.boards.board import Board, reason_of
from ftbnn_larq.boards.session import FOLDER, QUIET, STEP_SECONDS, Told, opened, put_script, run_step
from ftbnn_larq.boards.targets import Target, parse_target
from ftbnn_larq.boards.worker import Worker
from ftbnn_larq.errors import BoardError, ConfigError
from ftbnn_larq.inference.interpreter import Interpreter
from ftbnn_larq.inference.sidecar import data_config_beside, gives_probabilities, sidecar_path
from ftbnn_larq.zoo import trained
from ftbnn_runtime.command import DEPLOYED

_BEGIN = f"""#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here/python" -c '{leash.AS_MODULE}' """
# What people type, in the deployed folder. The example is a file of its own, so that it is checked as the others are.
PROGRAMS = {
    "classify": f'{_BEGIN}ftbnn_runtime {DEPLOYED} "$here/model.tflite" "$@"\n',
    "benchmark": f'{_BEGIN}ftbnn_runtime.benchmark {DEPLOYED} "$here/model.tflite" "$@"\n',
}
FILES = ("model.tflite", "model.json")
# Targets that have Python, for messages.
FORMS = "ssh:[user@]host[:port], or local for this machine"
LINKS = (*PROGRAMS, "classify.py", "python", *FILES)


def check(on: str, to: str) -> Target:
    """Refuse a target or folder that cannot be deployed to, before anything is loaded.

    Raises:
        ConfigError: the target is none with Python, or the folder's name cannot be used.
    """
    target = parse_target(on, FORMS)
    if target.kind not in ("ssh", "local"):
        raise ConfigError(f"{on}: a classifier is deployed to {FORMS}")
    if not to or re.search(r"[\x00-\x1f\x7f:]", to):
        raise ConfigError(f"--to {to!r}: a folder's name without colons and line ends is needed, such as {FOLDER}")
    return target


def check_network(file: str | os.PathLike, engine: str | None = None) -> Path:
    """The path of a flatbuffer that can run on a board.

    Raises:
        ConfigError: the network is none, or another engine than ftbnn is asked for.
    """
    file = zoo.published_flatbuffer(file)
    if engine not in (None, "ftbnn"):
        raise ConfigError(f"engine {engine}: ftbnn-runtime is what runs on a board: leave the engine out")
    if trained.in_keras(file):
        raise ConfigError(f"{file}: a board runs .tflite files: `ftbnn-larq convert --to tflite` makes one")
    return file


def deploy(
    file: str | os.PathLike,
    *,
    on: str,
    to: str = FOLDER,
    pictures: int = 8,
    told: Told = QUIET,
) -> dict:
    """Bring a flatbuffer with all that runs it to a board, whole or not at all.

    The new version is made beside the old one, verified, and then takes its place.

    Arguments:
        file: a flatbuffer with its JSON file beside it, or NAME:DATASET for a published one.
        on: "ssh:[user@]host[:port]", or "local" for this machine.
        to: the folder on the board, in the user's home unless it is a whole path.
        pictures: at most so many real pictures, on which the board has to give this machine's answers.

    Returns:
        `{on, to, device, place, venv, bytes_sent, verified, command}`: `place` is what wheels had to fit; `venv` is
        false where the board's Python makes none; `verified` is `{data, pictures, top1_agreement, max_abs_diff,
        tolerance, beyond_tolerance}`; `command` is what to type.

    Raises:
        ModelFileError: the flatbuffer cannot be run.
        ConfigError: a target or a folder that cannot be used.
        BoardError: the board cannot be reached, cannot run it, is full, or gives other answers.
        ToolError: wheels or the runtime's library for the board are missing.
    """
    target, file = check(on, to), check_network(file)
    data_config_beside(file)
    with opened(target, told) as session:
        board = session.board
        with Interpreter(file, engine="ftbnn") as interpreter:
            real, data = _pictures(file, pictures)
            expected = interpreter.predict(real)
            pixels, prepared = _as_file(file, real[0])
            of_file = interpreter.predict(prepared)
        begun = session.step("begin", to=to, work=board.work, names=LINKS)
        version = begun["version"]
        files = {"model.tflite": file, "model.json": sidecar_path(file)}
        venv, sent = session.install(version, begun["current"], files, _example(begun["to"]))
        told.on_event(f"verifying on {len(real)} pictures of {data} ...")
        with Worker(board, f"{version}/python", f"{version}/model.tflite") as worker:
            answers = worker.predict(real)
        verified = {"data": data, **_agreement(file, expected, answers)}
        _check_command(board, version, file, pixels, of_file)
        session.step("activate", to=begun["to"], work=board.work, version=version, names=LINKS)
    return {
        "on": on,
        "to": begun["to"],
        "device": session.facts,
        "place": str(session.place),
        "venv": venv,
        "bytes_sent": sent,
        "verified": verified,
        "command": typed(target, begun["to"] if to.startswith("~") or target.kind == "local" else to),
    }


def remove(*, on: str, to: str = FOLDER) -> dict:
    """Take away what `deploy` brought: `{on, to, kept}`; `kept` are the names of what others put into the folder.

    Raises:
        ConfigError, BoardError: as `deploy`, or nothing is deployed there.
    """
    with Board(check(on, to)) as board:
        return {"on": on, **run_step(board, put_script(board), "remove", to=to)}


@contextlib.contextmanager
def on_board(file: str | os.PathLike, *, on: str, to: str = FOLDER, told: Told = QUIET) -> Iterator[Worker]:
    """A flatbuffer, loaded on a board by what is deployed there; what is missing is brought, for this once.

    Arguments: as for `deploy`.

    Raises:
        ModelFileError, ConfigError, BoardError, ToolError: as `deploy`.
    """
    target = check(on, to)
    with opened(target, told) as session:
        python = session.once(to)
        there = session.board.put(file, ".tflite", passing=True)
        with Worker(session.board, python, there) as worker:
            yield worker


def _pictures(file: Path, count: int) -> tuple:
    from ftbnn_larq.inference.agreement import real_pictures

    return real_pictures(file, count)


def _agreement(file: Path, expected, answers) -> dict:
    from ftbnn_larq.inference.agreement import agreement

    advice = "its files may be damaged: take the deployed folder away with --remove, and deploy again"
    return agreement(file, expected, answers, advice)


def _as_file(file: Path, picture) -> tuple:
    """What a file of a picture holds, uint8 (h, w, c), and that prepared for the network, float32 (1, h, w, c)."""
    from ftbnn_runtime.pictures import normalise, restore

    config = data_config_beside(file)
    pixels = restore(picture, config.mean, config.std)
    return pixels, normalise(pixels, config.mean, config.std)[None]


def _check_command(board: Board, version: str, file: Path, pixels, expected) -> None:
    """The command that people type gives this machine's answer too: of a picture file that Pillow reads there."""
    from ftbnn_larq.analysis import scores
    from ftbnn_larq.data.pictures import as_image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        as_image(pixels).save(path)
        there = board.put(path, ".png", passing=True)
    done = board.execute([f"{version}/classify", there, "--top", "1", "--json"], seconds=STEP_SECONDS)
    try:
        ((label, probability),) = json.loads(done.out)[0]["top"]
    except (ValueError, LookupError, TypeError) as error:
        raise BoardError(f"{board.target}: classify fails there: {reason_of(done.err)}") from error
    labels, of_class = data_config_beside(file).labels, scores.probabilities(expected, gives_probabilities(file))[0]
    own = int(of_class.argmax())
    if label != labels[own]:
        raise BoardError(
            f"{board.target}: classify says {label} ({probability:.1%}) of a picture that is {labels[own]} "
            f"({of_class[own]:.1%}) here: nothing was deployed"
        )


def _example(folder: str) -> dict[str, str]:
    text = (Path(__file__).parent / "example.py").read_text(encoding="utf-8")
    return {**PROGRAMS, "classify.py": text.replace('"FOLDER"', repr(folder))}


def typed(target: Target, to: str) -> str:
    """What to type for the class of a picture that lies on the board."""
    words = f"{shlex.quote(f'{to}/classify')} photo.jpg"
    if target.kind == "local":
        return words
    port = f"-p {target.port} " if target.port else ""
    return f"ssh {port}{target.address} {words if words.split()[0] == f'{to}/classify' else shlex.quote(words)}"
