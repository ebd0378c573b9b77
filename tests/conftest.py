"""What the tests share: one short training and its flatbuffer, made once."""

from __future__ import annotations

import contextlib
import fcntl
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from ftbnn_larq import cli  # The package asks for Keras 2, before any test imports TensorFlow.

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    # There is a worker for every core: threads of all of them on all cores stand in each other's way.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# What is remembered of folders of pictures goes to a cache that lasts as long as the tests.
_CACHE = tempfile.TemporaryDirectory(prefix="ftbnn-larq-cache-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name

# What a shell starts in the background ignores Ctrl-C, and so would the commands that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
# Where Python may not keep what it compiles, each process that imports TensorFlow takes twice as long to begin.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    os.environ["PYTHONPYCACHEPREFIX"] = str(ROOT / ".pytest_cache/d/bytecode")
# ftbnn_r18 with 6 units in place of 16, which train and convert sooner.
OPTIONS = {"width": 16, "units": (1, 1, 2, 2)}
NETWORK = ("ftbnn_r18", "--width", 16, "--set", "units=1,1,2,2")


def run_command(*arguments, cwd, **environment) -> SimpleNamespace:
    """Run the command line as people do: `status`, `out` (parsed where --json was asked for) and `err`."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    return _told(arguments, done.returncode, done.stdout, done.stderr)


_WITHOUT_TENSORFLOW = """
import contextlib, io, json, sys
from ftbnn_larq import cli
sys.modules["tensorflow"] = None  # Python's way to let an import fail.
told = []
for sys.argv in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as ended:
            told.append((ended.code, out.getvalue(), err.getvalue()))
print(json.dumps(told))
"""


def run_without_tensorflow(*commands, cwd) -> list[SimpleNamespace]:
    """What `run_command` tells of each command line, all run by one process that cannot import TensorFlow.

    A command that tries ends that process with its traceback.
    """
    commands = [["ftbnn-larq", *map(str, arguments)] for arguments in commands]
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TENSORFLOW],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return [_told(arguments, *told) for arguments, told in zip(commands, json.loads(done.stdout), strict=True)]


def _told(arguments, status: int, out: str, err: str) -> SimpleNamespace:
    parsed = json.loads(out) if "--json" in arguments and status == 0 else out
    return SimpleNamespace(status=status, out=parsed, err=err)


def line_of_refusal(result) -> str:
    """The one clear line that a command has failed with."""
    assert result.status == 2, result
    assert result.out == ""
    lines = [line for line in result.err.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ftbnn-larq: ")]
    assert told == lines[-1:], result.err
    assert "Traceback" not in result.err
    return told[0]


def pytest_configure(config):
    """One cache for all that compile the runtime's library: the checkout's, wheels, those for other machines."""
    if cache := getattr(config, "cache", None):
        for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
            os.environ.setdefault(name, str(cache.mkdir("zig")))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """What needs the training of `trained` is slow; other tests say it themselves.

    Each worker begins with modules that have slow tests, and ends with quick ones: xdist gives it a row of neighbours,
    and who has done its row takes half of what another has left.
    """
    for item in items:
        if "trained" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
    slow, quick = [], []
    for _, module in itertools.groupby(items, key=lambda item: item.path):
        module = list(module)
        (slow if any(item.get_closest_marker("slow") for item in module) else quick).append(module)
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    rows = [[*slow[worker::workers], *quick[worker::workers]] for worker in range(workers)]
    items[:] = [item for row in rows for module in row for item in module]


@pytest.fixture
def command(tmp_path, capfd):
    """`run_command` in this process, for most of a command's time is TensorFlow's start."""

    def run(*arguments, cwd=tmp_path, **environment) -> SimpleNamespace:
        capfd.readouterr()
        with mock.patch.dict(os.environ, environment):
            status = _run_here(arguments, cwd)
        written = capfd.readouterr()
        return _told(arguments, status, written.out, written.err)

    return run


def _run_here(arguments, cwd) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["ftbnn-larq", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return ended.value.code


@pytest.fixture
def refused(command):
    """Run a command that has to fail with one clear line, which is returned."""
    return lambda *arguments, **place: line_of_refusal(command(*arguments, **place))


@pytest.fixture
def small_disk(tmp_path):
    """Make a file system of a size, such as "1m", and give its folder."""
    disk = tmp_path / "disk"
    mounts = []

    def mount(size: str) -> Path:
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk]
        mounted = subprocess.run(command, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"mounting a small file system needs root: {mounted.stderr.strip()}")
        mounts.append(disk)
        return disk

    yield mount
    for mounted in mounts:
        subprocess.run(["umount", "-l", mounted], check=True)


def about(top1: float):
    """Top-1 on the 360 test digits, but for two: LCE rounds differently, and a sign that sits on zero may flip."""
    return pytest.approx(top1, abs=2.1 / 360)


def _run_written(*arguments, cwd) -> SimpleNamespace:
    """As `command`, for a fixture that lasts longer than `capfd`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = _run_here(arguments, cwd)
    return _told(arguments, status, out.getvalue(), err.getvalue())


def made_once(tmp_path_factory, name: str, make: Callable[[Path], object]) -> Path:
    """A copy of the folder that `make` fills; the first of pytest's workers that needs it does."""
    mine = tmp_path_factory.getbasetemp()
    ours = (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / f"{name}-once"
    ours.mkdir(exist_ok=True)
    made, done = ours / "made", ours / "done"
    with (ours / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            # What a test that failed in here has left.
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            make(made)
            done.touch()
    return Path(shutil.copytree(made, tmp_path_factory.mktemp(name) / name))


def _train_and_convert(folder: Path) -> None:
    training = _run_written("train", *NETWORK, "--epochs", 6, "--json", cwd=folder)
    assert training.status == 0, training.err
    conversion = _run_written("convert", "--to", "tflite", "--json", cwd=folder)
    assert conversion.status == 0, conversion.err
    told = {"result": training.out, "conversion": conversion.out, "log": training.err}
    (folder / "told.json").write_text(json.dumps(told))


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> SimpleNamespace:
    """`NETWORK` after six epochs of digits, and its flatbuffer: `folder`, `run`, `result`, `conversion`."""
    folder = made_once(tmp_path_factory, "trained", _train_and_convert)
    found = json.loads((folder / "told.json").read_text())
    run, flatbuffer = folder / found["result"]["run"], folder / found["conversion"]["path"]
    return SimpleNamespace(folder=folder, run=run, flatbuffer=flatbuffer, **found)


def two_tones(root: Path) -> str:
    """A folder of 80 dark and 80 bright pictures of 8x8, a little blue; one bright picture is nearly dark."""
    import numpy as np
    from PIL import Image

    for label, tone in (("bright", 230), ("dark", 76)):
        (root / label).mkdir()
        for index in range(80):
            value = 156 if (label, index) == ("bright", 0) else tone - index % 3
            picture = np.full((8, 8, 3), value, np.uint8)
            picture[..., 2] += 9
            Image.fromarray(picture).save(root / label / f"{index:02}.png")
    return f"folder:{root}"


def which_tone(shape: tuple, outputs: int, config, activation: str | None = None):
    """A Keras model that knows the pictures of `two_tones`, if they are prepared as `config` says.

    One output is the score of dark; of two the first is 0.
    """
    import numpy as np
    import tensorflow as tf

    layers = tf.keras.layers
    # Dark is between these, of pixels from 0 to 1: with another mean or deviation nothing is.
    ends = (np.array([0.1, 0.3, 0.5]) - config.mean[0]) / config.std[0]
    parts = [layers.GlobalAveragePooling2D(), layers.Dense(3, "relu"), layers.Dense(outputs, activation)]
    model = tf.keras.Sequential([tf.keras.Input(shape), *parts])
    first, last = np.zeros((shape[-1], 3)), np.zeros((3, outputs))
    first[0], last[:, -1] = 1, np.array([60, -120, 60]) * config.std[0]
    bias = np.zeros(outputs)
    bias[-1] = -5
    model.set_weights([first, -ends, last, bias])
    return model
