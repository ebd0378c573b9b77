"""`deploy` to OpenSSH's own server on loopback: real wheels, real Pythons, and what goes wrong on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import emulated
from ftbnn_larq.boards import deployment
from ftbnn_larq.boards.targets import parse_target
from ftbnn_larq.errors import ToolError
from tests.boards.conftest import serving
from tests.boards.helpers import PLAIN, answering_tool, left_on, tool, wait_for
from tests.boards.test_ssh import sshd_sessions
from tests.conftest import about
from tests.runtime.sketch import Sketch

# Wheels for the board are fetched from PyPI; without a network only those tests run that need none.
pytestmark = pytest.mark.slow
STEPS = ("begin", "take", "unpack", "move", "finish", "activate")


@pytest.fixture
def board(server, request, monkeypatch):
    """A board as in `server`; wheels that were fetched for it stay in pytest's cache."""
    set_environment(server, request, monkeypatch)
    return server


def set_environment(server, request, patch) -> None:
    patch.setenv("PATH", server.environment["PATH"])
    patch.setenv("XDG_CACHE_HOME", str(request.config.cache.mkdir("deploy")))


@pytest.fixture(scope="module")
def deployed_once(tmp_path_factory, request):
    """A board with `PLAIN` in ftbnn."""
    with serving(tmp_path_factory.mktemp("deployed")) as server, pytest.MonkeyPatch.context() as patch:
        set_environment(server, request, patch)
        deployment.deploy(PLAIN, on=server.on)
        yield server


@pytest.fixture
def deployed(deployed_once, request, monkeypatch):
    """The same board for several tests, which leave it as it was."""
    set_environment(deployed_once, request, monkeypatch)
    return deployed_once


def digit(folder: Path, index: int = 0) -> Path:
    """A picture file of a scanned digit."""
    from sklearn.datasets import load_digits

    path = folder / f"digit {index}.png"
    Image.fromarray(np.round(load_digits().images[index] * (255 / 16)).astype(np.uint8)).save(path)
    return path


def class_of(program: Path, picture: Path, **environment) -> str:
    """The best class that a deployed `classify` prints."""
    done = subprocess.run(
        [program, picture, "--json"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", **environment}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)[0]["top"][0][0]


def class_here(file: Path, picture: Path) -> str:
    from ftbnn_larq.inference.prediction import predict

    return predict(file, [picture])[0]["top"][0][0]


def other_flatbuffer(folder: Path) -> Path:
    """The same network with its classes named otherwise."""
    for suffix in (".tflite", ".json"):
        shutil.copy(PLAIN.with_suffix(suffix), folder / f"other{suffix}")
    description = json.loads((folder / "other.json").read_text())
    description["data"]["labels"] = [f"no. {label}" for label in description["data"]["labels"]]
    (folder / "other.json").write_text(json.dumps(description))
    return folder / "other.tflite"


def configure(server, line: str) -> None:
    """Another line of sshd's configuration; the first one that says something counts."""
    configuration = server.folder / "sshd_config"
    configuration.write_text(f"{line}\n{configuration.read_text()}")
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def versions(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".version.*"))


def test_a_folder_is_made_updated_and_taken_away(board, command, tmp_path):
    """On a board without a network, in a folder whose name is full of shell."""
    apart = subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0
    # Its login prints what could be the begin of an answer, and no line end.
    configure(board, f'ForceCommand printf "[pi] "; exec {"unshare -n " * apart}sh -c "$SSH_ORIGINAL_COMMAND"')
    to = 'it\'s "a" $(touch owned) `touch owned` folder'
    folder, picture = board.home / to, digit(tmp_path)
    arguments = ("--on", board.on, "--to", to, "--json")
    first = command("deploy", PLAIN, *arguments)
    assert first.status == 0, first.err
    assert first.out["bytes_sent"] > PLAIN.stat().st_size
    assert first.out["verified"]["data"] == "digits" and first.out["verified"]["pictures"] == 8
    assert class_of(folder / "classify", picture) == class_here(PLAIN, picture)
    assert left_on(board.disk) == []

    example = subprocess.run([folder / "python", folder / "classify.py", picture], capture_output=True, text=True)
    assert example.stdout.startswith(f"{class_here(PLAIN, picture)}: "), example.stderr
    timed = subprocess.run([folder / "benchmark", "--json", "--runs", "3"], capture_output=True, text=True)
    assert json.loads(timed.stdout)["median_ms"] > 0, timed.stderr

    # What is there is not sent again; what differs or was damaged is.
    assert command("deploy", PLAIN, *arguments).out["bytes_sent"] == 0
    other = other_flatbuffer(tmp_path)
    (folder / "model.tflite").write_bytes(b"damaged")
    both = other.stat().st_size + other.with_suffix(".json").stat().st_size
    assert command("deploy", other, *arguments).out["bytes_sent"] == both
    assert class_of(folder / "classify", picture) == class_here(other, picture) == f"no. {class_here(PLAIN, picture)}"
    assert len(versions(folder)) == 1

    (folder / "notes").write_text("mine")
    gone = command("deploy", "--remove", *arguments)
    assert gone.out["kept"] == ["notes"] and [path.name for path in folder.iterdir()] == ["notes"], gone
    assert not list(tmp_path.rglob("owned")) and left_on(board.disk) == []
    assert [path.name for path in board.home.iterdir()] == [to]


def test_a_connection_lost_in_any_step_leaves_the_old_version_as_it_was(deployed, refused, request, tmp_path):
    board = deployed
    folder, picture, other = board.home / "ftbnn", digit(tmp_path), other_flatbuffer(tmp_path)
    whole, expected = sorted(os.listdir(folder)), class_here(PLAIN, picture)
    step, reached = tmp_path / "step", tmp_path / "reached"
    python = shutil.which("python3", path="/usr/bin:/bin")
    request.addfinalizer((board.programs / "python3").unlink)
    program(
        board.programs / "python3",
        f'if [ "$2" = "$(cat {step})" ]; then touch {reached}; sleep 600; fi\nexec {python} "$@"',
    )

    def cut():
        wait_for(reached.exists, seconds=60)
        for pid in sshd_sessions(board):
            os.kill(pid, signal.SIGKILL)

    for name in STEPS:
        # So that each step has work to do.
        (packages,) = folder.glob(".current/packages/ftbnn_runtime-*")
        packages.rename(packages.with_name("moved"))
        step.write_text(name)
        cutting = threading.Thread(target=cut)
        cutting.start()
        said = refused("deploy", other, "--on", board.on)
        cutting.join()
        reached.unlink()
        assert "connection lost" in said, (name, said)
        wait_for(lambda: not left_on(board.disk) and sorted(os.listdir(folder)) == whole)
        packages.with_name("moved").rename(packages)
        assert class_of(folder / "classify", picture) == expected, name


def test_pictures_are_classified_and_accuracy_measured_on_the_board(deployed, command, refused, tmp_path):
    board, picture, on = deployed, digit(tmp_path), ("--on", deployed.on)
    # As on a terminal, which has a bar while the runtime is sent.
    once = command("predict", PLAIN, picture, *on, "--to", "nothing there", "--json", FORCE_COLOR="1")
    assert once.status == 0 and "bringing the runtime for this once" in once.err, once.err
    assert "sending" in once.err and "100%" in once.err
    assert left_on(board.disk) == [] and [path.name for path in board.home.iterdir()] == ["ftbnn"]
    here = command("predict", PLAIN, picture, "--json").out
    assert [label for label, _ in once.out[0]["top"]] == [label for label, _ in here[0]["top"]]

    there = command("evaluate", PLAIN, *on, "--json")
    assert there.status == 0 and "for this once" not in there.err, there.err
    here = command("evaluate", PLAIN, "--json").out
    assert there.out == {**here, "top1": about(here["top1"]), "top5": about(here["top5"]), "on": board.on}

    assert "leave the engine out" in refused("predict", PLAIN, picture, *on, "--engine", "lce")
    assert "a classifier is deployed to ssh:" in refused("evaluate", PLAIN, "--on", "adb")
    damaged = other_flatbuffer(tmp_path)
    damaged.write_bytes(PLAIN.read_bytes()[:2000])
    said = refused("evaluate", damaged, *on)
    assert board.on in said and left_on(board.disk) == []


def without_lce(folder: Path) -> Path:
    """A flatbuffer without operators of LCE."""
    sketch = Sketch(0)
    path = folder / "float.tflite"
    path.write_bytes(sketch.bytes(sketch.window("CONV_2D", sketch.input((1, 8, 8, 1)), 4, (8, 8), (8, 8))))
    return path


def test_the_runtime_and_lces_tool_are_measured_in_turn_in_one_table(deployed, command, refused, tmp_path):
    board = deployed
    lces = answering_tool(tmp_path / "tool")
    arguments = ("benchmark", PLAIN, "--on", board.on, "--runs", 10, "--json")
    both = command(*arguments, "--engine", "ftbnn,lce", "--tool", lces, "--threads", "1,2", "--verify", 2, "--profile")
    assert both.status == 0 and "for this once" not in both.err, both.err
    assert [(row["engine"], row["threads"]) for row in both.out] == [("ftbnn", 1), ("lce", 1), ("ftbnn", 2), ("lce", 2)]
    ours, theirs = both.out[:2]
    assert ours["ratio"] == 1 and theirs["ratio"] > 1
    assert ours["latency_ms"]["median_of"] == "runs" and 0 < ours["latency_ms"]["median"] < 50
    assert theirs["latency_ms"]["mean"] == pytest.approx(98.9494) and ours["peak_memory_mb"] > 1
    assert len(ours["rounds_ms"]) == len(theirs["rounds_ms"]) == 5
    assert ours["agreement"]["pictures"] == theirs["agreement"]["pictures"] == 2
    assert ours["device"]["architecture"]
    # Of the runtime a step does the work of several operators; the recorded profile of LCE's tool is another network's.
    assert "LceBconv2d + ADD + LceQuantize" in {layer["type"] for layer in ours["layers"]}
    assert "LceBconv2d" in {layer["type"] for layer in theirs["layers"]}
    assert 0 < sum(layer["ms"] for layer in ours["layers"]) < 3 * ours["latency_ms"]["median"]

    both_files = (*arguments, without_lce(tmp_path), "--engine", "lce,ftbnn", "--kernel", "portable", "--profile")
    alone, plain = (result := command(*both_files)).out
    assert (alone["engine"], alone["kernel"], plain["kernel"]) == ("ftbnn", "portable", "xnnpack")
    assert "LCE is left out: LCE has no benchmark tool for" in result.err
    assert "layers" in alone and "layers" not in plain
    assert "TFLite's interpreter has no profiler: LCE's tool has one, --engine lce" in " ".join(plain["warnings"])
    assert left_on(board.disk) == []

    late = refused("benchmark", PLAIN, "--on", board.on, "--engine", "ftbnn", "--runs", 1000000, "--timeout", 0.2)
    assert "no end within 0.2 s: give it more time with --timeout" in late
    for options, words in [
        (("--on", "adb", "--engine", "ftbnn"), "needs Python"),
        (("--on", board.on, "--engine", "ftbnn", "--tool", lces), "the benchmark tool is LCE's"),
        (("--on", board.on, "--engine", "ftbnn", "--kernel", "neon"), "this processor has no such isa"),
    ]:
        assert words in refused("benchmark", PLAIN, *options)


def test_a_full_disk_leaves_nothing_there(board, refused, small_disk):
    disk = small_disk("20m")
    said = refused("deploy", PLAIN, "--on", board.on, "--to", disk / "ftbnn")
    assert "its disk is full" in said and "make room there" in said
    assert list(disk.iterdir()) == []


@pytest.mark.parametrize("minor", [9, 13])
def test_other_pythons(board, command, tmp_path, minor):
    places = [*os.environ["PATH"].split(":"), *map(str, Path.home().glob(f".pyenv/versions/3.{minor}.*/bin"))]
    python = shutil.which(f"python3.{minor}", path=":".join(reversed(places)))
    if not python:
        pytest.skip(f"there is no Python 3.{minor} on this machine")
    (board.programs / "python3").symlink_to(python)
    done = command("deploy", PLAIN, "--on", board.on, "--json")
    assert done.status == 0, done.err
    assert f"-cp3{minor}" in done.out["place"] and done.out["venv"]
    picture = digit(tmp_path)
    assert class_of(board.home / "ftbnn" / "classify", picture) == class_here(PLAIN, picture)


def test_a_python_without_venv(board, command, tmp_path):
    without = tmp_path / "without"
    without.mkdir()
    (without / "venv.py").write_text("raise ImportError('as in python3-minimal')\n")
    program(board.programs / "python3", f'PYTHONPATH={without} exec /usr/bin/python3 "$@"')
    done = command("deploy", PLAIN, "--on", board.on, "--json")
    assert done.status == 0 and done.out["venv"] is False, done.err
    picture = digit(tmp_path)
    assert class_of(board.home / "ftbnn" / "classify", picture) == class_here(PLAIN, picture)


def test_an_arm_board_sees_the_same_classes(board, command, request):
    """Python of an aarch64 Linux, which qemu-user runs, behind sshd: a network of the zoo, 100 scans of digits.

    What `classify` there says of a picture's file is looked at by `deploy` itself.
    """
    try:
        system = emulated.system(request.config.cache.mkdir("aarch64"))
    except ToolError as error:
        pytest.skip(f"no aarch64 in an emulator: {error}")
    (board.programs / "python3").write_text(system.script())
    (board.programs / "python3").chmod(0o755)
    program(board.programs / "uname", '[ "$1" = -m ] && echo aarch64 || exec /usr/bin/uname "$@"')
    done = command("deploy", "ftbnn_r18_pure:cifar10", "--on", board.on, "--verify", 100, "--json")
    assert done.status == 0, done.err
    assert done.out["place"].startswith("aarch64-") and done.out["venv"]
    assert (done.out["verified"]["pictures"], done.out["verified"]["top1_agreement"]) == (100, 1.0)


@pytest.mark.parametrize("machine", ["armv7l", "riscv64"])
def test_architectures_without_wheels(board, refused, machine):
    program(board.programs / "uname", f'[ "$1" = -m ] && echo {machine} || exec /usr/bin/uname "$@"')
    said = refused("deploy", PLAIN, "--on", board.on)
    assert machine in said and {"armv7l": "install the 64-bit", "riscv64": "built on it from source"}[machine] in said
    assert list(board.home.iterdir()) == []


def test_boards_whose_python_is_missing_broken_or_too_old(board, refused, command, tmp_path):
    program(board.programs / "python3", "echo 'python3: libpython3.so: cannot open' >&2; exit 127")
    assert "does not start (python3: libpython3.so: cannot open)" in refused("deploy", PLAIN, "--on", board.on)
    told = '{"python": [3, 8], "libc": "glibc 2.31", "numpy": null, "bits": 64}'
    program(board.programs / "python3", f"echo 'ftbnn: {told}'")
    assert "its python3 is 3.8, and 3.9 or newer is needed" in refused("deploy", PLAIN, "--on", board.on)
    program(board.programs / "python3", f"echo 'ftbnn: {told.replace('[3, 8]', '[3, 9]').replace('glibc 2.31', '')}'")
    assert "its C library is not glibc" in refused("deploy", PLAIN, "--on", board.on)
    (board.programs / "python3").unlink()
    for path in Path("/usr/bin").iterdir():
        if not path.name.startswith("python"):
            (board.programs / path.name).symlink_to(path)
    configure(board, f"SetEnv TMPDIR={board.disk} HOME={board.home} PATH={board.programs}")
    said = refused("deploy", PLAIN, "--on", board.on)
    assert "it has no python3" in said and "LCE's benchmark tool needs none" in said
    lces = ("--engine", "ftbnn,lce", "--tool", tool(tmp_path / "tool"), "--runs", 5, "--json")
    measured = command("benchmark", PLAIN, "--on", board.on, *lces)
    assert [row["engine"] for row in measured.out] == ["lce"], measured.err
    assert "ftbnn-runtime is left out: " in measured.err and "it has no python3" in measured.err
    assert list(board.home.iterdir()) == []


def test_folders_of_others_are_left_alone(board, refused):
    (board.home / "file").write_text("mine")
    (board.home / "mine").mkdir()
    (board.home / "mine" / "notes").write_text("mine")
    assert "is a file" in refused("deploy", PLAIN, "--on", board.on, "--to", "file")
    assert "holds other files" in refused("deploy", PLAIN, "--on", board.on, "--to", "mine")
    assert "nothing is deployed in" in refused("deploy", "--remove", "--on", board.on, "--to", "mine")
    assert (board.home / "mine" / "notes").read_text() == "mine"


def test_four_commands_from_nothing_to_the_class_of_a_picture(board, command, tmp_path):
    small = ("--width", 16, "--set", "units=1,1,1,1", "--epochs", 1)
    for line in (("train", "ftbnn_r18", *small), ("convert", "--to", "tflite"), ("deploy", "--on", "ssh:board")):
        done = command(*line)
        assert done.status == 0, done.err
    assert "type: ssh board ftbnn/classify photo.jpg" in done.out
    picture = digit(board.home).rename(board.home / "digit.png")
    # What the other tests configure to be in the way of our commands, a person has not.
    configuration = board.folder / "config"
    configuration.write_text(configuration.read_text().replace("RemoteCommand uptime\n", ""))
    # sshd starts in the home of the user database, whatever HOME says.
    configure(board, 'ForceCommand cd; eval "$SSH_ORIGINAL_COMMAND"')
    line = "ssh board ftbnn/classify digit.png"
    done = subprocess.run(line.split(), capture_output=True, text=True)
    (file,) = tmp_path.glob("runs/*/model.tflite")
    assert done.stdout.startswith(f"digit.png: {class_here(file, picture)} "), done.stderr


def test_what_to_type_is_quoted_for_both_shells():
    def words(on: str, to: str) -> str:
        return deployment.typed(parse_target(on), to)

    assert words("local", "/home/a b/ftbnn") == "'/home/a b/ftbnn/classify' photo.jpg"
    assert words("ssh:pi@board:2222", "ftbnn") == "ssh -p 2222 pi@board ftbnn/classify photo.jpg"
    line = words("ssh:board", "it's $HOME")
    told = subprocess.run(["sh", "-c", f'set -- {line}; eval set -- "$3"; printf %s "$1"'], capture_output=True)
    assert told.stdout == b"it's $HOME/classify"
