"""Builds the runtime's library. All that is decided about its compilation stands here.

    python runtime/build_library.py --target aarch64 --output DIR
    python runtime/build_library.py --target android --output jniLibs/arm64-v8a

The compiler is `ziglang`, a wheel, which builds for x86-64 and aarch64 Linux wherever it runs. Where it is not
installed, the system's `cc` builds for the machine that it runs on.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ftbnn_runtime.native import NAME, machine

SOURCES = Path(__file__).resolve().parent / "src"
FUZZER = SOURCES.parent / "fuzz"
# What zig builds for, with the oldest glibc that the library runs on.
ZIG = {"x86_64": "x86_64-linux-gnu.2.17", "aarch64": "aarch64-linux-gnu.2.17"}
# Of 64 bits. zig has no C library of Android: musl's headers are used, whose types have the sizes of Android's, and
# what is needed of libc.so stands in a stub that is linked in its place. No phone has run the library.
ANDROID = "android"
ZIG[ANDROID] = "aarch64-linux-musl"
ANDROID_LIBC = (
    "calloc",
    "clock_gettime",
    "free",
    "malloc",
    "memcmp",
    "memcpy",
    "memmove",
    "memset",
    "posix_memalign",
    "realloc",
    "strcmp",
    "strlen",
    "strtol",
    "syscall",
    "getpid",
    "pthread_cond_broadcast",
    "pthread_cond_destroy",
    "pthread_cond_init",
    "pthread_cond_signal",
    "pthread_cond_wait",
    "pthread_create",
    "pthread_join",
    "pthread_mutex_destroy",
    "pthread_mutex_init",
    "pthread_mutex_lock",
    "pthread_mutex_unlock",
    "sched_getaffinity",
    "sched_getcpu",
    "sched_setaffinity",
)

# LCE multiplies, then adds: a fused multiply-add rounds otherwise, and flips signs.
COMPILE = ["-std=gnu11", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-psabi"]
# Nothing is thrown through C: what unwinds a stack is left out.
COMPILE += ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]
# What runs for each pixel is made fast, the rest small.
FAST = ("kernel_", "steps", "passes", "filters", "norm")
LINK = ["-pthread", "-lm"]
LINK_LIBRARY = ["-shared", "-s", "-Wl,--no-undefined"]
# Android's libc.so has no bcmp. Newer phones have pages of 16 KiB.
COMPILE_ANDROID = ["-fno-builtin-bcmp", "-mno-outline-atomics"]
LINK_ANDROID = ["-nostdlib", "-Wl,-z,max-page-size=16384"]
# AddressSanitizer and UndefinedBehaviorSanitizer: a program stops at the first thing that C does not allow.
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1"]
# Files for one kind of machine, and their flags. All others are for every machine.
KERNELS = {
    "kernel_avx2.c": ("x86_64", ["-mavx2", "-mfma"]),
    "kernel_avx512.c": (
        "x86_64",
        ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mavx512vpopcntdq", "-mprefer-vector-width=512"],
    ),
    "kernel_neon.c": ("aarch64", []),
}


class NoCompiler(Exception):
    """No compiler for a machine was found. The message says what to install."""


def has_zig(target: str) -> bool:
    return target in ZIG and importlib.util.find_spec("ziglang") is not None


def compiler(target: str) -> list[str]:
    """The command that compiles for a machine, such as x86_64.

    Raises:
        NoCompiler: there is none.
    """
    if has_zig(target):
        # The program itself: `python -m ziglang` would take modules of the folder that people are in.
        program = Path(importlib.util.find_spec("ziglang").origin).with_name("zig")
        return [str(program), "cc", "-target", ZIG[target]]
    if target == machine() and sys.platform == "linux" and shutil.which("cc"):
        return ["cc"]
    raise NoCompiler(f"no compiler for {target} was found: install ziglang with pip" + _or_gcc(target))


def _or_gcc(target: str) -> str:
    return ", or gcc" if target == machine() else ""


def platform_tag(target: str) -> str:
    """The platform in a wheel's name: zig's libraries run on every Linux since 2014, others on one like this."""
    return f"manylinux2014_{target}" if has_zig(target) else f"linux_{target}"


def build(target: str, folder: Path, command: list[str] | None = None, flags: list[str] | None = None) -> Path:
    """Build the library of a machine.

    Arguments:
        target: the machine, such as x86_64; or "android".
        folder: where the library is put.
        command: the compiler; by default what `compiler` finds.
        flags: further flags of compiler and linker.

    Returns:
        The library's path.

    Raises:
        NoCompiler: there is no compiler for that machine.
        subprocess.CalledProcessError: the compiler failed. It has told why.
    """
    if target == ANDROID and command is None:
        return _build_for_android(folder, flags or [])
    return compile_files(sources(target), LINK_LIBRARY, folder / NAME, command or compiler(target), flags or [])


def _build_for_android(folder: Path, flags: list[str]) -> Path:
    zig = compiler(ANDROID)
    with tempfile.TemporaryDirectory(prefix="ftbnn-runtime-") as scratch:
        source, stub = Path(scratch) / "libc.c", Path(scratch) / "libc.so"
        source.write_text("".join(f"void {name}(void) {{}}\n" for name in ANDROID_LIBC))
        made = ["-shared", "-nostdlib", "-fno-builtin", "-w", "-Wl,-soname,libc.so", str(source), "-o", str(stub)]
        subprocess.run([*zig, *made], check=True)
        link = [*LINK_LIBRARY, *LINK_ANDROID, str(stub)]
        return compile_files(sources(ANDROID), link, folder / NAME, zig, [*COMPILE_ANDROID, *flags], libraries=[])


def build_fuzzer(folder: Path, command: list[str] | None = None) -> Path:
    """Build the fuzzer of this machine, fuzz/fuzz.c, with the library in it and the sanitizers on.

    Arguments: as for `build`; the compiler is by default the system's, for zig comes without AddressSanitizer.

    Raises:
        NoCompiler: the compiler has no sanitizers.
        subprocess.CalledProcessError: it failed otherwise. It has told why.
    """
    command = command or ["cc"]
    check_sanitizers(command)
    both = [*sources(machine()), *sorted(FUZZER.glob("*.c"))]
    return compile_files(both, [], folder / "fuzz", command, SANITIZE)


def check_sanitizers(command: list[str]) -> None:
    """Raises NoCompiler where a compiler has no sanitizers."""
    with tempfile.TemporaryDirectory(prefix="ftbnn-runtime-") as scratch:
        empty = Path(scratch) / "empty.c"
        empty.write_text("int main(void) { return 0; }")
        try:
            made = [*command, *SANITIZE, str(empty), "-o", str(empty.with_suffix(""))]
            subprocess.run(made, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NoCompiler(f"{shlex.join(command)} has no AddressSanitizer: install gcc, or clang") from error


def compile_files(
    files: list[Path], link: list[str], made: Path, command: list[str], flags: list[str], libraries: list[str] = LINK
) -> Path:
    """Compile C files and link them to `made`, a library or a program. Raises subprocess.CalledProcessError."""
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ftbnn-runtime-") as scratch:
        # zig fills the user's cache otherwise, or fails where that cannot be written.
        caches = {name: os.path.join(scratch, "zig") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
        environment = {**caches, **os.environ}

        def run(*arguments) -> None:
            subprocess.run([*command, *map(str, arguments), *flags], check=True, env=environment)

        def compile_one(source: Path) -> Path:
            target = Path(scratch) / f"{source.stem}.o"
            optimize = "-O3" if source.stem.startswith(FAST) else "-Os"
            run(*COMPILE, optimize, *KERNELS.get(source.name, ("", []))[1], "-c", source, "-o", target)
            return target

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, files))
        # Beside its place, so that it takes it at once: another process may be loading the library.
        with tempfile.TemporaryDirectory(prefix=".", dir=made.parent) as beside:
            run(*objects, "-o", Path(beside) / made.name, *link, *libraries)
            os.replace(Path(beside) / made.name, made)
    return made


def sources(target: str) -> list[Path]:
    """The C files of a machine."""
    target = "aarch64" if target == ANDROID else target
    return [path for path in sorted(SOURCES.glob("*.c")) if KERNELS.get(path.name, (target,))[0] == target]


def build_py(targets: list[str], *, is_needed: bool):
    """The class of setuptools' command `build_py` that also builds the libraries into the package.

    Arguments:
        targets: machines.
        is_needed: False where an installation without the library is better than none.
    """
    from setuptools.command.build_py import build_py as base

    class BuildPy(base):
        def run(self):
            super().run()
            # What an editable installation lacks, `ftbnn_runtime.library()` builds.
            if getattr(self, "editable_mode", False):
                return
            folder = Path(self.build_lib) / "ftbnn_runtime" / "lib"
            # What an earlier build left is of another machine, or of older sources.
            shutil.rmtree(folder, ignore_errors=True)
            for target in targets:
                try:
                    build(target, folder / target)
                except (NoCompiler, OSError, subprocess.CalledProcessError) as error:
                    told = f"ftbnn-runtime: the library for {target} is not built: {error}"
                    if is_needed:
                        sys.exit(told)
                    print(told, file=sys.stderr)

    return BuildPy


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the runtime's library.")
    parser.add_argument("--target", default=machine(), help="machine, such as aarch64, or android (default: this one)")
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="where it is put (default: here)")
    parser.add_argument("--cc", type=shlex.split, help="compiler, such as aarch64-linux-gnu-gcc")
    parser.add_argument("--flags", type=shlex.split, help="further flags, such as --flags=-march=armv8.2-a")
    parser.add_argument("--fuzzer", action="store_true", help="build fuzz/fuzz.c, with AddressSanitizer")
    arguments = parser.parse_args()
    try:
        if arguments.fuzzer:
            print(build_fuzzer(arguments.output, arguments.cc))
        else:
            print(build(arguments.target, arguments.output, arguments.cc, arguments.flags))
    except (NoCompiler, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"build_library: {error}")


if __name__ == "__main__":
    main()
