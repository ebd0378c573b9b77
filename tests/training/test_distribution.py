"""One training on several machines: the same steps as on one, and a lost worker is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import workers
from ftbnn_larq.errors import ConfigError, TrainingError
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.training import distribution, loop
from tests.conftest import ROOT
from tests.training.helpers import COMMAND, OPTIONS


def ended(processes) -> list[tuple]:
    """What each has written, once all have ended well; where one doesn't, none is left running."""
    try:
        said = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said


@pytest.mark.slow
def test_two_processes_take_the_same_steps_as_one():
    # Float32 rounds sums in another order, which turns a sign now and then; float64 doesn't.
    two_units = {"units": (1, 1), "width": 16}
    alone, *joint = workers.compare("ftbnn_r18_baseline", two_units, "digits", None, dtype="float64", steps=8)
    assert len(alone) == 8
    for losses in joint:
        np.testing.assert_allclose(losses, alone, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_a_worker_that_writes_no_run_names_none(digits, monkeypatch, tmp_path):
    monkeypatch.setattr(distribution, "is_chief", lambda strategy: False)
    how = Recipe(epochs=1, batch_size=64)
    assert loop.start("ftbnn_r18", digits, how, options=OPTIONS, output=tmp_path)["run"] == "RUN-OF-RANK-0"
    with pytest.raises(TrainingError, match="is in RUN-OF-RANK-0"):
        loop.start("ftbnn_r18", digits, how.replace(learning_rate=1e30), options=OPTIONS, output=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_lost_worker_is_told_and_both_resume(tmp_path):
    addresses = ",".join(f"127.0.0.1:{port}" for port in workers.free_ports(2))
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, COMMAND), "--epochs", "400", "--workers", addresses]
    chief, other = (
        subprocess.Popen([*command, "--rank", str(rank)], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    )
    for line in chief.stderr:
        if line.startswith("epoch 2/"):
            break
    other.send_signal(signal.SIGKILL)
    said = chief.stderr.read()
    other.communicate()
    assert chief.wait(timeout=200) == 2, said
    (run,) = (tmp_path / "runs").iterdir()
    assert "another worker is gone" in said.splitlines()[-1] and f"--resume runs/{run.name}" in said
    addresses = ",".join(f"127.0.0.1:{port}" for port in workers.free_ports(2))
    epochs = len((run / "metrics.csv").read_text().splitlines())
    command = [sys.executable, str(ROOT / "cli.py"), "train", "--resume", str(run), "--epochs", str(epochs)]
    resumed = [
        subprocess.Popen(
            [*command, "--workers", addresses, "--rank", str(rank)], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    ended(resumed)
    assert json.loads((run / "result.json").read_text())["epochs"] == epochs


_STOPPED = """
import os, signal, time
from ftbnn_larq.training import distribution
signal.signal(signal.SIGTERM, signal.default_int_handler)
distribution.create_strategy()
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
except KeyboardInterrupt:
    os._exit(130)
"""


@pytest.mark.slow
def test_sigterm_reaches_a_worker_of_several_machines():
    (port,) = workers.free_ports(1)
    cluster = {"cluster": {"worker": [f"127.0.0.1:{port}"]}, "task": {"type": "worker", "index": 0}}
    environment = {**os.environ, "TF_CONFIG": json.dumps(cluster)}
    done = subprocess.run([sys.executable, "-c", _STOPPED], cwd=ROOT, env=environment, capture_output=True, timeout=200)
    assert done.returncode == 130, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--workers", "one:1,two:2"), "--workers and --rank go together"),
        (("--workers", "one,two:2", "--rank", 0), "'one' is not host:port"),
        (("--workers", "one:1", "--rank", 0), "two different workers"),
        (("--workers", "one:1,two:2", "--rank", 2), "take 0 to 1"),
    ],
)
def test_workers_that_cannot_be(refused, arguments, words):
    assert words in refused(*COMMAND, *arguments)


def test_a_batch_that_cannot_be_shared_evenly_is_refused(digits):
    class Three:
        num_replicas_in_sync = 3

    with pytest.raises(ConfigError, match=r"batch size 64 cannot be shared evenly among 3 replicas: take 63"):
        distribution.check_batch(Recipe(batch_size=64), Three())
