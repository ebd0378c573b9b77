"""What the tests of boards share: programs that they need, and a program in the place of LCE's benchmark tool."""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT, run_command

SAMPLES = ROOT / "tests/benchmarking/lce_benchmark"
PLAIN, GROUPED = SAMPLES / "plain.tflite", SAMPLES / "grouped.tflite"
RECORDED = SAMPLES / "profile_xnnpack.txt"
# What becomes of the tool on a board, as shell commands in its place, and what is said then.
FAULTS = [
    (f"cat '{SAMPLES}/grouped_default_kernel.stderr.txt' >&2; exit 1", "Grouped binary .* --kernel indirect$"),
    ("kill -9 $$", "killed .* lack of memory"),
    ('echo "tool: version \\`GLIBC_2.34\' not found (required by tool)" >&2; exit 1', "glibc 2.34: .*Debian 12"),
    ("echo 'sh: 1: tool: Exec format error' >&2; exit 126", "another architecture"),
]


@functools.cache
def installed(program: str, package: str) -> str:
    """The path of a program, put there by apt if it is missing and may be; skips the test otherwise."""
    search = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    if not shutil.which(program, path=search) and shutil.which("apt-get") and os.getuid() == 0:
        install = f"apt-get update -qq; apt-get install -qq -y {package}"
        subprocess.run(["sh", "-c", install], capture_output=True, timeout=300)
    found = shutil.which(program, path=search)
    if not found:
        pytest.skip(f"{program} is not installed (apt install {package}), and installing it needs root and a network")
    return found


def tool(path: Path, body: str = "") -> Path:
    """A program that prints a recorded output after `body`, shell commands; it notes its arguments in `path`.log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nprintf '%s ' \"$@\" >> '{path}.log'; echo >> '{path}.log'\n{body}\ncat '{RECORDED}'\n")
    path.chmod(0o755)
    return path


def check_answers(on: str, folder: Path) -> None:
    """Send pictures to a board, and compare what comes back with this machine's answers."""
    from ftbnn_larq.benchmarking.host import Host
    from ftbnn_larq.benchmarking.models import read_model
    from ftbnn_larq.benchmarking.remote import Remote
    from ftbnn_larq.boards.targets import parse_target

    model = read_model(PLAIN)
    pictures = np.random.default_rng(0).standard_normal((2, 8, 8, 1), np.float32)
    with Remote(parse_target(on), answering_tool(folder / "tool"), seconds=60) as board, Host() as host:
        expected = host.answers(model, "default", pictures)
        np.testing.assert_allclose(board.answers(model, "default", pictures), expected, atol=1e-4)


def calls(path: Path) -> list[str]:
    """The arguments of each call of a `tool`."""
    return Path(f"{path}.log").read_text().splitlines() if Path(f"{path}.log").exists() else []


def answering_tool(path: Path) -> Path:
    """A program that answers like LCE's tool where it is asked for scores, by LCE's interpreter; else it prints."""
    path.write_text(
        f"""#!{sys.executable}
import sys
sys.path[:0] = {[str(ROOT), *filter(None, sys.path)]!r}
flags = dict(part[2:].partition("=")[::2] for part in sys.argv[1:])
if "output_filepath" in flags:
    import numpy as np
    from ftbnn_larq.inference.interpreter import Interpreter
    name, _, file = flags["input_layer_value_files"].rpartition(":")
    assert name.replace("::", ":") == flags["input_layer"]
    shape = [int(side) for side in flags["input_layer_shape"].split(",")]
    with Interpreter(flags["graph"]) as interpreter:
        scores = interpreter.predict(np.fromfile(file, "<f4").reshape(shape))
    scores.astype("<f4").tofile(flags["output_filepath"])
print(open({str(RECORDED)!r}).read())
"""
    )
    path.chmod(0o755)
    return path


def start(*arguments, cwd, **environment) -> subprocess.Popen:
    """The command line, running."""
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, seconds: float = 20):
    """What `condition` gives once it is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return value


def sleeping(mark: str) -> list[int]:
    """Processes with `mark` in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def check_interrupt(number: int, on: str, disk: Path, folder: Path, **environment) -> None:
    """Send a signal to the command line while the board runs the tool: no process and no file stays there."""
    mark = f"sleep 7{number}{time.time_ns() % 10**6}"
    program = tool(folder / "tool", f"{mark} & wait")
    process = start("benchmark", PLAIN, "--on", on, "--tool", program, cwd=folder, **environment)
    wait_for(lambda: sleeping(mark) or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    by_hand = number == signal.SIGINT
    assert process.returncode == (130 if by_hand else -number)
    assert "Traceback" not in said and said.rstrip().endswith("interrupted") == by_hand
    wait_for(lambda: not sleeping(mark))
    wait_for(lambda: not left_on(disk))


def check_lost_connection(cut: Callable[[], None], on: str, disk: Path, folder: Path, **environment) -> None:
    """Cut the connection in the third round: two are kept, and no process and no file stays on the board."""
    mark = f"sleep 8{time.time_ns() % 10**6}"
    program = tool(folder / "tool", f"[ $(wc -l < '{folder}/tool.log') -lt 3 ] || {mark}")
    process = start("benchmark", PLAIN, "--on", on, "--tool", program, cwd=folder, **environment)
    wait_for(lambda: sleeping(mark))
    cut()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2, said
    assert "connection lost" in said.splitlines()[-1] and "Traceback" not in said
    wait_for(lambda: not sleeping(mark))
    wait_for(lambda: not left_on(disk))
    (file,) = (folder / "measurements").glob("*.json")
    assert len(json.loads(file.read_text())[0]["rounds_ms"]) == 2


def check_awkward_names(on: str, folder: Path, **environment) -> None:
    """Measure a file whose name is full of shell, by a tool of such a name: none of it is run, here or there."""
    awkward = folder / "it's; a $(touch owned) `touch owned`"
    awkward.mkdir()
    model = awkward / '-"m" & touch owned; touch owned.tflite'
    model.write_bytes(PLAIN.read_bytes())
    program = tool(awkward / "the $(touch owned) tool")
    for path in (model.name, str(model)):
        result = run_command(
            "benchmark", "--on", on, "--tool", program, "--json", "--", path, cwd=awkward, **environment
        )
        assert result.status == 0, result.err
        assert result.out[0]["path"] == path
    assert not list(folder.rglob("owned")) and not Path.home().joinpath("owned").exists()


def left_on(board: Path) -> list[str]:
    """Files below a board's folder that a benchmark left, once the board has cleaned up."""
    # os.walk, unlike rglob, bears folders that go while it looks.
    found = (os.path.join(folder, name) for folder, *names in os.walk(board) for name in itertools.chain(*names))
    return [path for path in found if ".ftbnn-larq" in path]


def local(*arguments) -> tuple:
    """The words of a benchmark by LCE's tool on this machine."""
    return "benchmark", *arguments, "--on", "local"


def elf(machine: int, bits: int = 64) -> bytes:
    return b"\x7fELF" + bytes([2 if bits == 64 else 1]) + bytes(13) + struct.pack("<H", machine) + bytes(100)


def pretending(folder, **programs) -> str:
    """A PATH on which programs print what a board would."""
    folder.mkdir()
    for name, said in programs.items():
        (folder / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
