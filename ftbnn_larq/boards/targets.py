"""Targets to measure on, and how commands are run there: on this machine, by OpenSSH, or by Android's adb."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import sys
from pathlib import Path

from ftbnn_larq.errors import BoardError, ConfigError, short

FORMS = "host, local, ssh:[user@]host[:port] or adb[:serial]"


@dataclasses.dataclass(frozen=True)
class Target:
    """A target, as named by `--on`.

    Attributes:
        kind: "host" (this machine, LCE's Python interpreter), "local" (this machine, the benchmark tool), "ssh" or
            "adb".
        address: [user@]host for ssh, serial number for adb; may be empty.
        port: port for ssh; None for that of OpenSSH's configuration.
    """

    kind: str
    address: str = ""
    port: int | None = None

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.kind}:{self.address}{port}" if self.address else self.kind


def parse_target(text: str, forms: str = FORMS) -> Target:
    """Parse "host", "local", "ssh:[user@]host[:port]" or "adb[:serial]".

    Arguments:
        forms: what the user can write, for the message: some commands take fewer.

    Raises:
        ConfigError: the text is not a target.
    """
    kind, colon, rest = text.partition(":")
    if kind in ("host", "local") and not colon:
        return Target(kind)
    if kind == "adb" and (rest or not colon) and not rest.startswith("-"):
        return Target(kind, rest)
    if kind == "ssh":
        # OpenSSH's own ssh://host is the same.
        match = re.fullmatch(
            r"(?://)?([^\s:\[\]/-][^\s:\[\]/]*|[^\s:@\[\]/-]+@(?=\[)|(?=\[))(\[[:.%\w][:.%\w-]*\])?(?::(\d{1,5}))?",
            rest,
        )
        if match and int(match[3] or 1) in range(1, 65536):
            address = match[1] + (match[2] or "").strip("[]")
            if address and not address.endswith("@"):
                return Target(kind, address, int(match[3]) if match[3] else None)
    raise ConfigError(f"cannot run anything on {short(text, 80)!r}: expected {forms}")


class Local:
    """This machine."""

    name = "this machine"

    def argv(self, script: str, *arguments: str) -> list[str]:
        """The local command that runs a POSIX shell script with arguments on the target."""
        return ["sh", "-c", script, "sh", *arguments]

    def fault(self, status: int | None, said: str) -> str | None:
        """Why the connection failed and what to do, in one line; None if it did not fail."""
        return None


class Ssh:
    """A board reached by the system's OpenSSH client, with its keys, agents and ~/.ssh/config.

    All commands share one connection.
    """

    # Patterns in the client's messages, and what to do. The first match counts.
    FAULTS = (
        (r"Could not resolve hostname", "no such host: check its name, or give its IP address"),
        (
            r"REMOTE HOST IDENTIFICATION HAS CHANGED",
            "its host key has changed: if its system is new, forget the old key with `ssh-keygen -R {host}`, then "
            "log in once with `ssh {login}`; if not, another machine may be answering",
        ),
        (
            r"Host key verification failed|No .* host key is known",
            "its host key is not known yet: log in once with `ssh {login}` and check the key",
        ),
        (
            r"UNPROTECTED PRIVATE KEY FILE",
            "ssh does not use a private key that others may read: `chmod 600` it; `ssh {login}` tells which",
        ),
        (
            r"Permission denied|Too many authentication failures",
            "it rejects your key: copy it there with `ssh-copy-id {login}`, or name the right one in ~/.ssh/config",
        ),
        (r"Connection refused", "it refuses the connection: is an SSH server running there, on this port?"),
        (
            r"timed out|No route to host|Network is unreachable",
            "it does not answer: is it switched on, in this network?",
        ),
        (r"Bad owner or permissions|Bad configuration option|terminating,", "ssh rejects your ~/.ssh/config: fix it"),
    )

    def __init__(self, target: Target, folder: Path):
        """`folder` is for the socket of the shared connection; its path must be short.

        Raises:
            BoardError: ssh is not installed.
        """
        if not shutil.which("ssh"):
            raise BoardError("ssh is not installed: install OpenSSH's client (openssh-client on Debian and Ubuntu)")
        self.name = target.address
        self._login = f"-p {target.port} {target.address}" if target.port else target.address
        self._host = target.address.rpartition("@")[2]
        if target.port:
            self._host = f"[{self._host}]:{target.port}"
        # ssh asks for a password only if there is a terminal.
        batch = "no" if sys.stdin and sys.stdin.isatty() and sys.stderr.isatty() else "yes"
        options = {
            "BatchMode": batch,
            "ConnectTimeout": 10,
            "ServerAliveInterval": 5,
            "ServerAliveCountMax": 3,
            "ControlMaster": "auto",
            "ControlPath": folder / "ssh",
            "ControlPersist": "no",
            "ClearAllForwardings": "yes",
            "RequestTTY": "no",
            "RemoteCommand": "none",
        }
        given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        self._command = ["ssh", *given, *(["-p", str(target.port)] if target.port else []), "--", target.address]

    def argv(self, script: str, *arguments: str) -> list[str]:
        # Quoted, because ssh joins its arguments and the login shell on the board parses them again.
        return [*self._command, shlex.join(["sh", "-c", script, "sh", *arguments])]

    def fault(self, status: int | None, said: str) -> str | None:
        if status != 255:
            return None
        for pattern, advice in self.FAULTS:
            if re.search(pattern, said):
                return f"{self.name}: {advice.format(host=shlex.quote(self._host), login=self._login)}"
        return None


class Adb:
    """An Android device, reached by adb."""

    FAULTS = (
        (r"no devices", "no Android device: plug it in, switch on USB debugging, and see `adb devices`"),
        (r"more than one device", "several Android devices: name one as adb:SERIAL, `adb devices` lists them"),
        (r"unauthorized", "the device does not trust this computer: unlock it and accept the question on its screen"),
        (r"not found", "no such Android device: `adb devices` lists the connected ones"),
        (r"device offline|device still", "the device is offline: plug it in again, or `adb reconnect`"),
        (
            r"no permissions",
            "no permission for the USB device: install android-sdk-platform-tools-common, plug it in again",
        ),
        (r"support PTY|support shell", "its Android is too old: Android 7 or newer is needed"),
        (r"cannot connect to daemon|failed to start daemon", "adb's server does not start: try `adb start-server`"),
    )

    def __init__(self, target: Target, folder: Path):
        if not shutil.which("adb"):
            raise BoardError(
                "adb is not installed: install Android's platform-tools (package adb on Debian and Ubuntu)"
            )
        self.name = target.address or "the Android device"
        self._command = ["adb", *(["-s", target.address] if target.address else []), "shell", "-T"]

    def argv(self, script: str, *arguments: str) -> list[str]:
        # Quoted, because adb joins its arguments and the shell on the device parses them again.
        return [*self._command, shlex.join(["sh", "-c", script, "sh", *arguments])]

    def fault(self, status: int | None, said: str) -> str | None:
        told = [line for line in said.splitlines() if re.match(r"(adb|error)(: |$)|\* ", line)]
        for pattern, advice in self.FAULTS if status else ():
            if re.search(pattern, "\n".join(told)):
                return f"{self.name}: {advice}"
        return None


def connect(target: Target, folder: Path) -> Local | Ssh | Adb:
    """The connection to a target. Its kind must not be "host"."""
    return Local() if target.kind == "local" else {"ssh": Ssh, "adb": Adb}[target.kind](target, folder)
