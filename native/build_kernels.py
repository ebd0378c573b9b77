"""Builds the kernels of a training step, operators for TensorFlow on CPUs.

python native/build_kernels.py --output DIR
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNTIME = HERE.parent / "runtime"
sys.path.insert(0, str(RUNTIME))

import build_library  # noqa: E402

from ftbnn_runtime.native import machine  # noqa: E402

NAME = "libftbnn_training.so"
# It is in the process already when the kernels are loaded.
TENSORFLOW = "libtensorflow_framework.so.2"
# Loops that say that they are vectors.
FLAGS = ["-fopenmp-simd"]
# What the kernels take from the runtime.
SHARED = ("cpu", "threads", "kernel_")


def sources(target: str) -> list[Path]:
    """The C files for a machine, such as x86_64."""
    shared = [path for path in build_library.sources(target) if path.name.startswith(SHARED)]
    return [*sorted(HERE.glob("*.c")), *shared]


def build(target: str, folder: Path) -> Path:
    """Build the kernels. TensorFlow need not be there: a stub is linked in its place.

    Returns:
        The library's path.

    Raises:
        build_library.NoCompiler: there is no compiler for that machine.
        subprocess.CalledProcessError: the compiler failed. It has told why.
    """
    command = build_library.compiler(target)
    names = re.findall(r"\b(TF_\w+)\(", (HERE / "tensorflow.h").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="ftbnn-training-") as scratch:
        source, stub = Path(scratch) / "stub.c", Path(scratch) / TENSORFLOW
        source.write_text("".join(f"void {name}(void) {{}}\n" for name in names))
        link = ["-shared", f"-Wl,-soname,{TENSORFLOW}"]
        build_library.compile_files([source], link, stub, command, ["-fvisibility=default"])
        link = [*build_library.LINK_LIBRARY, str(stub)]
        include = f"-I{RUNTIME / 'src'}"
        return build_library.compile_files(sources(target), link, folder / NAME, command, [*FLAGS, include])


def build_check(folder: Path) -> Path:
    """Build check/check.c with what it checks and the sanitizers on, by the system's compiler.

    Raises: as `build_library.build_fuzzer`.
    """
    build_library.check_sanitizers(["cc"])
    files = [path for path in sorted(HERE.glob("*.c")) if not path.name.startswith("op")]
    files.append(HERE / "check" / "check.c")
    files += [path for path in build_library.sources(machine()) if path.name.startswith(SHARED)]
    include = [f"-I{RUNTIME / 'src'}", f"-I{HERE}"]
    return build_library.compile_files(files, [], folder / "check", ["cc"], [*build_library.SANITIZE, *FLAGS, *include])


def build_py(base: type) -> type:
    """The class of setuptools' command `build_py` that also builds the kernels of this machine into the package.

    Without a compiler the package is installed without them: a training step then takes longer.
    """

    class BuildPy(base):
        def run(self):
            super().run()
            if getattr(self, "editable_mode", False):
                return
            try:
                build(machine(), Path(self.build_lib) / "ftbnn_larq" / "models" / "lib" / machine())
            except (build_library.NoCompiler, OSError, subprocess.CalledProcessError) as error:
                print(f"ftbnn-larq: the kernels of a training step are not built: {error}", file=sys.stderr)

    return BuildPy


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the kernels of a training step, for this machine.")
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="where they are put (default: here)")
    arguments = parser.parse_args()
    try:
        print(build(machine(), arguments.output))
    except (build_library.NoCompiler, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"build_kernels: {error}")


if __name__ == "__main__":
    main()
