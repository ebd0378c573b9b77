"""A session with a board that hears nothing any more: it cleans up by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from ftbnn_larq.boards import board as boards
from ftbnn_larq.boards import device, packages, scripts
from ftbnn_larq.boards.targets import Target
from ftbnn_larq.errors import BoardError
from tests.boards.helpers import PLAIN, installed, left_on, wait_for


def old_timeout(folder: Path) -> None:
    """As that of busybox before 1.30, timeout [-t SECONDS] [-s SIGNAL] PROGRAM, in front of the others."""
    script = folder / "timeout"
    script.write_text(
        "#!/bin/sh\nseconds=10 signal=TERM\n"
        "while :; do case $1 in -t) seconds=$2 ;; -s) signal=$2 ;; *) break ;; esac; shift 2; done\n"
        f'exec {shutil.which("timeout")} -s "$signal" "$seconds" "$@"\n'
    )
    script.chmod(0o755)


@pytest.mark.parametrize("timeout", ["GNU", "busybox", "old"])
def test_a_board_that_hears_nothing_any_more_cleans_up_by_itself(board, monkeypatch, tmp_path, timeout):
    if timeout == "busybox":
        (tmp_path / "timeout").symlink_to(installed("busybox", "busybox"))
    elif timeout == "old":
        old_timeout(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    monkeypatch.setattr(boards, "_PATIENCE", 1)
    with boards.Board(Target("local")) as session:
        session.put(PLAIN, ".tflite")
        assert left_on(board)
        wait_for(lambda: not left_on(board))
        with pytest.raises(BoardError, match="connection lost"):
            session.execute(["true"], seconds=5)


def test_a_board_whose_timeout_takes_its_seconds_otherwise_is_not_left_at_once(board, monkeypatch, tmp_path):
    old_timeout(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    with boards.Board(Target("local")) as session:
        time.sleep(1)
        assert session.execute(["true"], seconds=5).status == 0
    wait_for(lambda: not left_on(board))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_a_temporary_folder_that_users_share_is_left_to_the_first(tmp_path):
    shared, home = tmp_path / "shared", tmp_path / "home"
    for folder in (shared, home):
        folder.mkdir()
        folder.chmod(0o777)
    for folder in (tmp_path, *tmp_path.parents):
        # pytest's own are for root alone.
        if folder == tmp_path or folder.name.startswith(("pytest-", "popen-")):
            folder.chmod(0o711)
    (shared / ".ftbnn-larq").mkdir(mode=0o700)
    places = {"PATH": os.environ["PATH"], "TMPDIR": str(shared), "HOME": str(home)}
    guard = ["sh", "-c", scripts.GUARD, "sh", "5"]
    done = subprocess.run(guard, env=places, user=65534, input="", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and f"guard: {home}/.ftbnn-larq/run." in done.stdout, done
    assert [*home.iterdir()] == []


def test_modules_in_the_home_of_a_board_are_not_taken(board, monkeypatch, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    with boards.Board(Target("local")) as session:
        place = packages.place_of(session, device.facts_of(session))
    assert place.python >= packages.LEAST_PYTHON[1]
