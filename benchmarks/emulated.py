"""An aarch64 Linux with Python and a stock TFLite interpreter, which qemu-user runs on this machine.

It is made of the packages that apt has for arm64 and of wheels from PyPI, in a folder that is kept. Nothing is
installed, and no right of root is needed. A plugin of qemu counts the executed instructions: the same
number each time, where times in an emulator mean nothing.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ftbnn_larq import zoo
from ftbnn_larq.errors import ToolError
from ftbnn_larq.files import user_cache, write_text, written_whole
from ftbnn_runtime import native
from ftbnn_runtime.errors import Error

RUNTIME = zoo.HERE.parent / "runtime"
# A processor without what came later than ARMv8.0, as in a Raspberry Pi 4.
CPU = "cortex-a72"
INTERPRETER = "ai-edge-litert"

_LIBRARIES = "usr/lib/aarch64-linux-gnu"
# What the processor's library in the interpreter reads; this machine's own says nothing of ARM.
_CPUINFO = """processor\t: 0
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3
"""
# Python and what the interpreter is linked to.
_PACKAGES = ("python3", "libstdc++6")
_INVOKE = """
import sys
import numpy
import ftbnn_runtime
interpreter = ftbnn_runtime.Interpreter(sys.argv[1])
interpreter.allocate_tensors()
for each in interpreter.get_input_details():
    values = numpy.random.default_rng(0).standard_normal(each["shape"])
    interpreter.set_tensor(each["index"], values.astype(each["dtype"]))
for _ in range(int(sys.argv[2])):
    interpreter.invoke()
"""


@dataclass(frozen=True)
class System:
    """A system in a folder, and the library that its interpreter takes as its delegate."""

    folder: Path
    library: Path

    def python(self, code: str, *arguments, plugin: str | None = None, cpu: str = CPU) -> str:
        """What a Python program prints there; it sees the files of this machine, and imports `ftbnn_runtime`.

        Raises:
            ToolError: it failed. The message ends in its last lines.
        """
        root = self.folder / "root"
        environment = {
            "PYTHONHOME": str(root / "usr"),
            "PYTHONPATH": os.pathsep.join(map(str, (self.folder / "site", RUNTIME))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "FTBNN_RUNTIME_LIBRARY": str(self.library),
            # Other threads that wait would be counted.
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
        }
        command = [_qemu(), "-cpu", cpu, "-L", root, "-E", f"LD_LIBRARY_PATH={root / _LIBRARIES}"]
        command += ["-plugin", plugin] if plugin else []
        (program,) = (root / "usr" / "bin").glob("python3.[0-9]*[0-9]")
        return _run([*command, program, "-c", code, *arguments], env=environment)

    def script(self) -> str:
        """A shell script in the place of the system's python3; links to it, as in a venv, are Pythons too."""
        root = self.folder / "root"
        (program,) = (root / "usr" / "bin").glob("python3.[0-9]*[0-9]")
        command = [_qemu(), "-cpu", CPU, "-L", root, "-E", f"LD_LIBRARY_PATH={root / _LIBRARIES}"]
        words = shlex.join(map(str, command))
        home = shlex.quote(str(root / "usr"))
        # Python takes its own name for what it is, and looks beside it for a venv.
        return f'#!/bin/sh\nPYTHONHOME={home} exec {words} -0 "$0" {shlex.quote(str(program))} "$@"\n'

    def instructions(self, flatbuffer: Path, cpu: str = CPU) -> int:
        """Instructions of one inference, batch 1, one thread: of two, without those of one and of loading.

        Raises:
            ToolError: the plugin cannot be built, or the program failed.
        """
        with tempfile.TemporaryDirectory() as scratch:
            plugin, counted = _plugin(Path(scratch)), Path(scratch) / "counted"
            counts = []
            for inferences in (1, 2):
                self.python(_INVOKE, flatbuffer, inferences, plugin=f"{plugin},out={counted}", cpu=cpu)
                counts.append(int(counted.read_text()))
        return counts[1] - counts[0]

    def versions(self) -> dict[str, str]:
        """Of the interpreter, numpy and qemu."""
        code = "import importlib.metadata as m, sys; print(*(m.version(name) for name in sys.argv[1:]))"
        names = (INTERPRETER, "numpy")
        return {**dict(zip(names, self.python(code, *names).split(), strict=True)), "qemu": _qemu_version()}


def system(folder: Path | None = None) -> System:
    """The system, made in a folder unless it is there; by default in the cache.

    Raises:
        ToolError: apt, PyPI, qemu or a compiler is missing, or does not bring what is needed.
    """
    folder = folder or user_cache() / "aarch64"
    _qemu()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "root").is_dir():
            with written_whole(folder / "root") as root:
                _unpack(root)
        if not (folder / "site").is_dir():
            with written_whole(folder / "site") as site:
                _install(site, folder / "root")
    try:
        return System(folder, native.library("aarch64"))
    except Error as error:
        raise ToolError(str(error)) from error


def _unpack(root: Path) -> None:
    """Packages of arm64, fetched by an apt whose state is apart from this machine's."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise ToolError("an aarch64 Linux is made of Debian's packages, and there is no apt-get here")
    with tempfile.TemporaryDirectory() as scratch:
        state, archives = Path(scratch) / "state", Path(scratch) / "cache" / "archives"
        for needed in (state / "lists" / "partial", archives / "partial", root / "proc"):
            needed.mkdir(parents=True)
        (state / "status").touch()
        settings = {
            "APT::Architecture": "arm64",
            "APT::Architectures": "arm64",
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "1",
            "Dir::State": state,
            "Dir::State::status": state / "status",
            "Dir::Cache": archives.parent,
        }
        apt = ["apt-get", "-qq", *(part for key, value in settings.items() for part in ("-o", f"{key}={value}"))]
        _run([*apt, "update"])
        _run([*apt, "install", "-y", "--download-only", "--no-install-recommends", *_PACKAGES])
        for package in archives.glob("*.deb"):
            _run(["dpkg-deb", "-x", package, root])
    # Newer systems have one folder of libraries, which a package of its own links.
    for name in ("lib", "lib64"):
        if not (root / name).exists():
            (root / name).symlink_to("usr/lib")
    write_text(root / "proc" / "cpuinfo", _CPUINFO)


def _install(site: Path, root: Path) -> None:
    """The interpreter's wheel and what it needs, for the Python of the system."""
    (version,) = (path.name.removeprefix("python") for path in (root / "usr" / "bin").glob("python3.[0-9]*[0-9]"))
    # glibc's of Debian 12, and all before that wheels are made for.
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)] + ["manylinux2014_aarch64"]
    wanted = [f"--platform={name}" for name in platforms] + [f"--python-version={version}", "--only-binary=:all:"]
    _run([sys.executable, "-m", "pip", "install", "-q", *wanted, "--target", site, INTERPRETER, "pillow"])


def _plugin(folder: Path) -> Path:
    built = folder / "count.so"
    version = 2 if int(_qemu_version().split(".")[0]) >= 9 else 1
    compiler = ["cc"] if shutil.which("cc") else [sys.executable, "-m", "ziglang", "cc"]
    source = Path(__file__).with_name("qemu_count.c")
    # What it calls is in qemu.
    flags = [f"-DPLUGIN_VERSION={version}", "-O2", "-shared", "-fPIC", "-Wl,-z,undefs"]
    _run([*compiler, *flags, source, "-o", built])
    return built


def _qemu() -> str:
    found = shutil.which("qemu-aarch64")
    if not found:
        raise ToolError("there is no qemu-aarch64 here: apt-get install qemu-user")
    return found


def _qemu_version() -> str:
    return re.search(r"version (\S+)", _run([_qemu(), "--version"]))[1]


def _run(command: list, env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            [*map(str, command)], env=env, capture_output=True, text=True, errors="replace", timeout=600
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{command[0]}: {error}") from error
    if done.returncode:
        told = " ".join((done.stderr or done.stdout).splitlines()[-3:])
        raise ToolError(f"{' '.join(map(str, command[:4]))} ... failed with status {done.returncode}: {told}")
    return done.stdout
