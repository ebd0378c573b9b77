"""LCE's `lce_benchmark_model`: its flags, what becomes of it on a board, and what went wrong where it failed."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

from ftbnn_larq.benchmarking import fetched, output
from ftbnn_larq.benchmarking.models import Model
from ftbnn_larq.boards.board import Board, Done, reason_of
from ftbnn_larq.conversion.passes import INDIRECT_FLAG
from ftbnn_larq.errors import ToolError
from ftbnn_larq.files import check_ends

KERNEL_FLAGS = {
    "default": (),
    "indirect": (INDIRECT_FLAG,),
    "reference": ("--use_reference_bconv=true",),
    "xnnpack": ("--use_xnnpack=true",),
}
# First system with a C library, by its version; Raspberry Pi OS is Debian's.
_GLIBC = {
    28: "Debian 10 or Ubuntu 18.10",
    31: "Debian 11 or Ubuntu 20.04",
    35: "Debian 12 (bookworm) or Ubuntu 22.04",
    36: "Debian 12 (bookworm) or Ubuntu 22.10",
    39: "Debian 13 (trixie) or Ubuntu 24.04",
    41: "Debian 13 (trixie) or Ubuntu 25.04",
}
_GLIBCXX = {25: 28, 28: 31, 30: 35, 33: 39}
# Why a model is refused -> what to do. The first that fits.
_REFUSALS = {
    "Grouped binary": "use --kernel indirect",
    "unresolved custom op": "take LCE's lce_benchmark_model, not TensorFlow's benchmark_model",
    "No space left": "make room on the board's disk",
    "": "take the tool of the LCE release that converted it",
}
# ELF's numbers of machines, and what `uname -m` calls them.
_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64"}


def check_tool(path: str | os.PathLike, facts: dict | None = None) -> Path:
    """The benchmark tool's file, if it can be one and was made for a board with these facts.

    Raises:
        ToolError: there is no such file, or it is for another architecture.
    """
    path = Path(path)
    try:
        check_ends(path)
        with open(path, "rb") as file:
            header = file.read(20)
    except OSError as error:
        raise ToolError(f"{path}: cannot be read as the benchmark tool: {error.strerror}") from error
    if not header:
        raise ToolError(f"{path}: an empty file is no benchmark tool: fetch it with {fetched.command('ARCH')}")
    if facts and (machine := _machine(header)):
        has = facts.get("architecture", "")
        has = "armv7l" if has in ("armv8l", "armv6l") else has
        bits = 64 if header[4] == 2 else 32
        if bits == 64 and facts.get("bits", 64) == 32:
            raise ToolError(f"{path} is for a 64-bit system, the board's is 32-bit: {fetched.NEEDS_64}")
        if has and machine != has and (machine, has) not in {("armv7l", "aarch64"), ("i686", "x86_64")}:
            raise ToolError(f"{path} is for {machine}, the board is {has}: {_fetch_for(has)}")
    return path


def made_for(path: str | os.PathLike) -> str | None:
    """The architecture that a program was built for, as `uname -m` tells it; None if it is a script."""
    with open(path, "rb") as file:
        return _machine(file.read(20))


def _machine(header: bytes) -> str | None:
    """Of the first 20 bytes of a file."""
    if header[:4] != b"\x7fELF" or len(header) < 20:
        return None
    return _MACHINES.get(struct.unpack("<H", header[18:20])[0], "another machine")


def _fetch_for(machine: str) -> str:
    if machine == "aarch64":
        return f"fetch the right one with {fetched.command(machine)} (Android: android-arm64)"
    if machine.startswith("arm"):
        return fetched.NEEDS_64
    return "build LCE's lce_benchmark_model for it and name it with --tool"


def execute(board: Board, tool: str, flags: list[str], *, runner: list[str], model: Model, seconds: float) -> str:
    """Run the tool on a board and return what it printed, on both of its outputs.

    Arguments:
        tool: its path there.
        flags: its arguments.
        runner: a command to put in front, such as an emulator.
        model: what it measures, for the message.
        seconds: after which it is stopped.

    Raises:
        BoardError: the board is gone, or it took too long.
        ToolError: the tool cannot run there, or failed; says why and what to do.
    """
    done = board.execute([*runner, tool, *flags], seconds=seconds, advice="give it more time with --timeout")
    said = f"{done.out.decode(errors='replace')}\n{done.err}"
    if done.status:
        raise ToolError(_failure(done, said, runner, model))
    unknown = [flag for flag in _unknown_flags(said) if any(flag in given for given in flags)]
    if unknown:
        raise ToolError(
            f"the benchmark tool does not know {', '.join(unknown)} and ran without: take a newer build of it, "
            "or do without what needs it"
        )
    return said


def _unknown_flags(said: str) -> list[str]:
    found = re.search(r"Unconsumed cmdline flags: (.*)", said)
    flags = re.findall(r"--\w+", found[1]) if found else []
    # Without this one the peak of memory is missing, nothing else.
    return [flag for flag in flags if flag != "--report_peak_memory_footprint"]


def _failure(done: Done, said: str, runner: list[str], model: Model) -> str:
    """One line on a run that ended in another status than 0."""
    versions = [int(minor) for minor in re.findall(r"GLIBC_2\.(\d+)' not found", said)]
    versions += [
        next((libc for cxx, libc in _GLIBCXX.items() if int(minor) <= cxx), 41)
        for minor in re.findall(r"GLIBCXX_3\.4\.(\d+)' not found", said)
    ]
    if versions:
        needed = next((system for version, system in _GLIBC.items() if max(versions) <= version), "the newest Debian")
        return (
            f"the board's C library is too old for the benchmark tool, which needs glibc 2.{max(versions)}: upgrade "
            f"the board to {needed} or newer, or build the tool on it"
        )
    if re.search(r"Exec format error|cannot execute binary file|not executable: \d+-bit ELF|[Ss]yntax error", said):
        return f"the benchmark tool is for another architecture (Exec format error): {_fetch_for('aarch64')}"
    # As glibc's loader says it, musl's, and Android's.
    if lacking := re.search(r'(?:libraries:|library) "?([^\s":]+)(?:: cannot open|: No such|" not found)', said):
        return f"the board lacks {lacking[1]}: install it, or build the tool statically"
    first = runner[0] if runner else "the benchmark tool"
    loader = re.search(r"ld-linux|linker64", said)
    if runner and loader:
        return (
            f"{first} does not find the C library that the benchmark tool was built with; qemu-aarch64 is told with "
            "--runner 'qemu-aarch64 -L /usr/aarch64-linux-gnu'"
        )
    if runner and done.status == 127:
        return f"{first}: no such program there: install it, or leave out --runner"
    if loader or done.status == 127:
        return (
            f"{first} does not start, its loader is missing: Linux needs the tool for aarch64, Android the one for "
            f"android-arm64, and a 32-bit system has neither: {fetched.NEEDS_64}"
        )
    if done.status == 126:
        return f"{first} may not be run there ({reason_of(said)}): mount the folder's file system without noexec"
    if done.status in (137, 9) or "Killed" in done.err:
        return (
            f"the benchmark tool was killed while it ran {model.name}, most likely for lack of memory: close other "
            "programs there, or take a smaller network"
        )
    if done.status > 128:
        return f"the benchmark tool crashed on {model.name} (signal {done.status - 128}): is the file damaged?"
    reason = output.complaint(said) or reason_of(said)
    if not reason:
        return f"the benchmark tool printed nothing (exit status {done.status}): is it LCE's lce_benchmark_model?"
    advice = next(advice for words, advice in _REFUSALS.items() if words in said)
    return f"the benchmark tool refuses {model.name}: {reason.rstrip('.')}: {advice}"


def timing_flags(threads: int, kernel: str, *, runs: int, warmup: int) -> list[str]:
    """The flags that make it time so many runs, or as many as 150 s hold; without them it goes on for a second."""
    return [
        f"--num_threads={threads}",
        f"--num_runs={runs}",
        "--min_secs=0",
        f"--warmup_runs={warmup}",
        "--warmup_min_secs=0",
        *KERNEL_FLAGS[kernel],
    ]
