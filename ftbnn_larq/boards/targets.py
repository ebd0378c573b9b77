"""Where to measure, by name, and how a command gets there: this machine, OpenSSH's client, Android's adb."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import sys
from pathlib import Path

from ftbnn_larq.errors import BoardError, ConfigError

FORMS = "host, local, ssh:[user@]host[:port] or adb[:serial]"


@dataclasses.dataclass(frozen=True)
class Target:
    """What `--on` says.

    Attributes:
        kind: "host", "local", "ssh" or "adb".
        address: [user@]host of ssh, the serial number of adb; empty where there is none.
        port: of ssh; None leaves it to OpenSSH's configuration.
    """

    kind: str
    address: str = ""
    port: int | None = None

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.kind}:{self.address}{port}" if self.address else self.kind


def parse_target(text: str) -> Target:
    """Raises ConfigError for what is no target."""
    kind, colon, rest = text.partition(":")
    if kind in ("host", "local") and not colon:
        return Target(kind)
    if kind == "adb" and (rest or not colon) and not rest.startswith("-"):
        return Target(kind, rest)
    if kind == "ssh":
        match = re.fullmatch(
            r"([^\s:\[\]-][^\s:\[\]]*|[^\s:@\[\]-]+@(?=\[)|(?=\[))(\[[0-9a-fA-F:.%\w]+\])?(?::(\d+))?", rest
        )
        if match and int(match[3] or 1) in range(1, 65536):
            address = match[1] + (match[2] or "").strip("[]")
            if address and not address.endswith("@"):
                return Target(kind, address, int(match[3]) if match[3] else None)
    raise ConfigError(f"cannot benchmark on {text!r}: expected {FORMS}")


class Local:
    """This machine, the tool being a program of its own."""

    name = "this machine"

    def argv(self, script: str, *arguments: str) -> list[str]:
        """The command here that runs a POSIX shell script with arguments there."""
        return ["sh", "-c", script, "sh", *arguments]

    def fault(self, status: int | None, said: str) -> str | None:
        """Why the connection failed, on one line with what to do; None if it did not."""
        return None


class Ssh:
    """The system's OpenSSH client: keys, agents and ~/.ssh/config are its business. One connection serves all."""

    # What the client says -> what to do. The first that fits.
    FAULTS = (
        (r"Could not resolve hostname", "no such host: check its name, or give its IP address"),
        (
            r"REMOTE HOST IDENTIFICATION HAS CHANGED",
            "its host key has changed: if it was set up anew, forget the old key with `ssh-keygen -R {host}`, then "
            "log in once with `ssh {login}`; else someone may be listening",
        ),
        (
            r"Host key verification failed|No .* host key is known",
            "its host key is not known yet: log in once with `ssh {login}` and compare it",
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
        (r"Bad owner or permissions|Bad configuration option|terminating,", "ssh refuses your ~/.ssh/config: mend it"),
    )

    def __init__(self, target: Target, folder: Path):
        """`folder`: where the socket of the shared connection may lie; its path must be short."""
        if not shutil.which("ssh"):
            raise BoardError("ssh is not installed: install OpenSSH's client, on Debian and Ubuntu openssh-client")
        self.name = target.address
        self._login = f"-p {target.port} {target.address}" if target.port else target.address
        self._host = target.address.rpartition("@")[2]
        if target.port:
            self._host = f"[{self._host}]:{target.port}"
        # Where no one can answer, nothing is asked.
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
        # ssh joins its arguments, and the login shell there parses them once more.
        return [*self._command, shlex.join(["sh", "-c", script, "sh", *arguments])]

    def fault(self, status: int | None, said: str) -> str | None:
        if status != 255:
            return None
        for pattern, advice in self.FAULTS:
            if re.search(pattern, said):
                return f"{self.name}: {advice.format(host=shlex.quote(self._host), login=self._login)}"
        return None


class Adb:
    """Android's adb client and server."""

    FAULTS = (
        (r"no devices", "no Android device: plug it in, switch on USB debugging, and see `adb devices`"),
        (r"more than one device", "several Android devices: name one as adb:SERIAL, `adb devices` lists them"),
        (r"unauthorized", "the device does not trust this computer: unlock it and accept the question on its screen"),
        (r"not found", "no such Android device: `adb devices` lists those that are there"),
        (r"device offline|device still", "the device is offline: plug it in anew, or `adb reconnect`"),
        (
            r"no permissions",
            "no permission for the USB device: install android-sdk-platform-tools-common, plug it in anew",
        ),
        (r"support PTY|support shell", "its Android is too old: Android 7 or newer is needed"),
        (r"cannot connect to daemon|failed to start daemon", "adb's server does not start: try `adb start-server`"),
    )

    def __init__(self, target: Target, folder: Path):
        if not shutil.which("adb"):
            raise BoardError(
                "adb is not installed: install Android's platform-tools, on Debian and Ubuntu the package adb"
            )
        self.name = target.address or "the Android device"
        self._command = ["adb", *(["-s", target.address] if target.address else []), "shell", "-T"]

    def argv(self, script: str, *arguments: str) -> list[str]:
        # adb joins its arguments, and the shell there parses them once more.
        return [*self._command, shlex.join(["sh", "-c", script, "sh", *arguments])]

    def fault(self, status: int | None, said: str) -> str | None:
        told = [line for line in said.splitlines() if re.match(r"(adb|error)(: |$)|\* ", line)]
        for pattern, advice in self.FAULTS if status else ():
            if re.search(pattern, "\n".join(told)):
                return f"{self.name}: {advice}"
        return None


def connect(target: Target, folder: Path) -> Local | Ssh | Adb:
    """The way to a target that is not "host"."""
    return Local() if target.kind == "local" else {"ssh": Ssh, "adb": Adb}[target.kind](target, folder)
