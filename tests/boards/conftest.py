"""A board: OpenSSH's own server on loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.boards.helpers import installed, wait_for


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@pytest.fixture
def board(tmp_path, monkeypatch):
    """The folder that stands for the board's disk."""
    folder = tmp_path / "board"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def server(tmp_path):
    """A board behind sshd: `on`, and `environment` of the client; `folder` with its keys.

    On the board: `disk` for what passes, `home`, and `programs`, which are found before those of the system.
    """
    sshd = installed("sshd", "openssh-server")
    real = installed("ssh", "openssh-client")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    folder, disk, port = tmp_path / "ssh", tmp_path / "board", free_port()
    folder.mkdir(mode=0o700)
    disk.mkdir()
    home, programs = tmp_path / "home", tmp_path / "programs"
    home.mkdir()
    programs.mkdir()
    for name in ("host", "user", "other"):
        key(folder / name)
    shutil.copy(folder / "user.pub", folder / "authorized")
    public = (folder / "host.pub").read_text().split()[:2]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {' '.join(public)}\n")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nSetEnv TMPDIR={disk} HOME={home} PATH={programs}:/usr/bin:/bin\n"
        "LogLevel ERROR\n"
    )
    configuration = folder / "config"
    configuration.write_text(
        f"Host *\nIdentityFile {folder}/user\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known\n"
        "GlobalKnownHostsFile /dev/null\nRemoteCommand uptime\nLogLevel DEBUG\n"
        f"Host board\nHostName 127.0.0.1\nPort {port}\n"
    )
    # The real client, with a configuration of its own: it does not look at HOME for one.
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {real} -F {configuration} "$@"\n')
    (folder / "bin" / "ssh").chmod(0o755)
    process = subprocess.Popen([sshd, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield SimpleNamespace(
            on=f"ssh:{getpass.getuser()}@127.0.0.1:{port}",
            disk=disk,
            home=home,
            programs=programs,
            folder=folder,
            port=port,
            process=process,
            environment={"PATH": f"{folder}/bin:{os.environ['PATH']}"},
        )
    finally:
        process.kill()
        process.wait()
