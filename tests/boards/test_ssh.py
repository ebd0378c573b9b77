"""`benchmark --on ssh:` through OpenSSH's own client and server, on loopback; a folder stands for the board's disk."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.boards.conftest import free_port
from tests.boards.helpers import (
    FAULTS,
    PLAIN,
    calls,
    check_answers,
    check_awkward_names,
    check_interrupt,
    check_lost_connection,
    installed,
    left_on,
    sleeping,
    tool,
    wait_for,
)


def test_one_command_measures_on_the_board_and_leaves_nothing_there(server, tmp_path, command):
    program = tool(tmp_path / "tool")
    result = command(
        "benchmark", PLAIN, "--on", server.on, "--tool", program, "--json", cwd=tmp_path, **server.environment
    )
    assert result.status == 0, result.err
    (measured,) = result.out
    assert measured["on"] == server.on
    assert measured["latency_ms"]["mean"] == pytest.approx(98.9494)
    assert all("--graph=./" in call for call in calls(program))
    assert left_on(server.disk) == []
    (file,) = (tmp_path / "measurements").glob("*.json")
    assert json.loads(file.read_text()) == result.out


def test_the_users_configuration_names_the_board(server, tmp_path, command):
    program = tool(tmp_path / "tool")
    result = command(
        "benchmark", PLAIN, "--on", "ssh:board", "--tool", program, "--json", cwd=tmp_path, **server.environment
    )
    assert result.status == 0, result.err
    assert left_on(server.disk) == []


@pytest.mark.parametrize("greeting", ["", "Welcome to the board\\n", "[pi@board] welcome"])
def test_pictures_get_there_and_answers_back_though_a_login_may_greet(server, tmp_path, monkeypatch, greeting):
    if greeting:
        configuration = server.folder / "sshd_config"
        forced = f'ForceCommand printf "{greeting}"; eval "$SSH_ORIGINAL_COMMAND"\n'
        configuration.write_text(configuration.read_text() + forced)
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
    monkeypatch.setenv("PATH", server.environment["PATH"])
    check_answers(server.on, tmp_path)
    assert left_on(server.disk) == []


def test_kept_files_are_found_by_checksum_and_not_sent_again(server, tmp_path, command):
    program = tool(tmp_path / "tool")
    arguments = ("benchmark", PLAIN, "--on", server.on, "--tool", program, "--runs", 5, "--json")
    assert command(*arguments, "--keep", cwd=tmp_path, **server.environment).status == 0
    store = server.disk / ".ftbnn-larq"
    assert sorted(path.name.partition("-")[2] or path.suffix for path in store.iterdir()) == [
        ".tflite", "lce_benchmark_model",
    ]  # fmt: skip
    written = {path: path.stat().st_mtime_ns for path in store.iterdir()}
    assert command(*arguments, "--keep", cwd=tmp_path, **server.environment).status == 0
    assert {path: path.stat().st_mtime_ns for path in store.iterdir()} == written
    # A file there that was damaged is sent anew.
    (kept,) = store.glob("*model")
    kept.write_text("#!/bin/sh\n")
    assert command(*arguments, cwd=tmp_path, **server.environment).status == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("unknown host", "no such host"),
        ("no server", "refuses the connection"),
        ("key rejected", "rejects your key: copy it there with `ssh-copy-id -p [0-9]+ "),
        ("key of all", "private key that others may read: `chmod 600` it"),
        ("host key changed", "its host key has changed: .*ssh-keygen -R '\\[127.0.0.1\\]"),
        ("host key unknown", "not known yet: log in once"),
    ],
)
def test_boards_that_cannot_be_reached(refused, server, tmp_path, fault, words):
    on = server.on
    other = (server.folder / "other.pub").read_text()
    if fault == "unknown host":
        on = "ssh:pi@nowhere.invalid"
    elif fault == "no server":
        on = f"ssh:127.0.0.1:{free_port()}"
    elif fault == "key rejected":
        (server.folder / "authorized").write_text(other)
    elif fault == "key of all":
        (server.folder / "user").chmod(0o644)
    elif fault == "host key changed":
        (server.folder / "known").write_text(f"[127.0.0.1]:{server.port} {' '.join(other.split()[:2])}\n")
    else:
        (server.folder / "known").write_text("")
    said = refused("benchmark", PLAIN, "--on", on, "--tool", tool(tmp_path / "tool"), **server.environment)
    assert re.search(words, said), said
    assert not (tmp_path / "measurements").exists()


def children(pid: int) -> list[int]:
    pgrep = [installed("pgrep", "procps"), "-P", str(pid)]
    found = [int(line) for line in subprocess.run(pgrep, capture_output=True, text=True).stdout.split()]
    return found + [each for child in found for each in children(child)]


def sshd_sessions(server) -> list[int]:
    """The server's processes for connections, not those that they run."""
    return [pid for pid in children(server.process.pid) if b"sshd" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_connection_lost_in_the_middle_keeps_what_was_measured_and_leaves_nothing(server, tmp_path):
    def cut():
        for pid in sshd_sessions(server):
            os.kill(pid, signal.SIGKILL)

    check_lost_connection(cut, server.on, server.disk, tmp_path, **server.environment)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_leaves_no_process_and_no_file_on_the_board(server, tmp_path, number):
    check_interrupt(number, server.on, server.disk, tmp_path, **server.environment)


@pytest.mark.parametrize(("body", "words"), FAULTS)
def test_faults_of_the_tool_there_are_one_line_and_leave_nothing(refused, server, tmp_path, body, words):
    program = tool(tmp_path / "tool", body)
    said = refused("benchmark", PLAIN, "--on", server.on, "--tool", program, **server.environment)
    assert re.search(words, said), said
    assert left_on(server.disk) == []


def test_a_full_disk_there(refused, server, small_disk, tmp_path):
    disk = small_disk("64k")
    (disk / "filling").write_bytes(bytes(44_000))
    (server.disk / ".ftbnn-larq").symlink_to(disk)
    program = tool(tmp_path / "tool")
    said = refused("benchmark", PLAIN, "--on", server.on, "--tool", program, **server.environment)
    assert "its disk is full" in said and "make room there" in said
    assert [path.name for path in disk.iterdir()] == ["filling"]


def test_a_timeout_leaves_no_process_and_no_file_on_the_board(refused, server, tmp_path):
    mark = f"sleep 6{time.time_ns() % 10**6}"
    program = tool(tmp_path / "tool", mark)
    said = refused("benchmark", PLAIN, "--on", server.on, "--tool", program, "--timeout", 1, **server.environment)
    assert "no end within 1 s" in said
    wait_for(lambda: not sleeping(mark))
    assert not left_on(server.disk)


def test_awkward_file_names_reach_no_shell_on_either_side(server, tmp_path):
    check_awkward_names(server.on, tmp_path, **server.environment)
