"""The stock interpreters, with the library as their delegate."""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from ftbnn_runtime.errors import Error, one_line, shown
from ftbnn_runtime.native import library, load

# Package -> its module with Interpreter and load_delegate; the lightest first.
PACKAGES = {
    "tflite_runtime": "tflite_runtime.interpreter",
    "ai_edge_litert": "ai_edge_litert.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}
ISAS = ("avx512", "avx2", "neon", "portable")
CLAIMS = ("all", "lce")
MOST_THREADS = 64


def installed() -> list[str]:
    """Those of `PACKAGES` that are installed and fit the installed numpy, the lightest first."""
    found = [package for package in PACKAGES if importlib.util.find_spec(package) is not None]
    # The last release of tflite-runtime can be imported beside numpy 2, and fails when it is used.
    is_new = int(version("numpy").split(".")[0]) >= 2
    return [package for package in found if not (is_new and package == "tflite_runtime")]


def stock(package: str | None = None) -> ModuleType:
    """The module of an interpreter, with `Interpreter` and `load_delegate`.

    Arguments:
        package: a key of `PACKAGES`; None for the lightest that is installed and can be loaded.

    Raises:
        Error: there is none.
    """
    if package is not None and package not in PACKAGES:
        raise Error(f"there is no interpreter {one_line(package)}: choose one of {', '.join(PACKAGES)}")
    if package is not None and package not in installed():
        raise Error(f"{package} is not installed, or does not fit numpy {version('numpy')}: give pip its name")
    failures = []
    for name in [package] if package else installed():
        try:
            return importlib.import_module(PACKAGES[name])
        except (ImportError, AttributeError) as error:
            failures.append(f"{name}: {one_line(error, 150)}")
    told = f" ({'; '.join(failures)})" if failures else ""
    raise Error(
        f"no TFLite interpreter can be loaded{told}. Type `pip install ai-edge-litert`; tflite-runtime and tensorflow "
        "are taken too"
    )


def load_delegate(
    num_threads: int = 1,
    isa: str | None = None,
    claim: str = "all",
    package: str | None = None,
    profile: bool = False,
):
    """The delegate that runs LCE's operators, for `experimental_delegates=[...]` of the stock interpreter.

    Arguments:
        num_threads: 1 to 64.
        isa: the instruction set, one of avx512, avx2, neon and portable; None for the best that the processor has.
        claim: what the delegate runs: `all` that it can, or of LCE's operators only (`lce`).
        package: the interpreter it is for, a key of `PACKAGES`; None for the lightest that is installed.
        profile: whether steps are timed, for `profile.measure`.

    Raises:
        Error: an option is wrong, there is no interpreter, or the library cannot be loaded.
    """
    if type(num_threads) is not int or not 1 <= num_threads <= MOST_THREADS:
        raise Error(f"num_threads is {num_threads!r}: give a whole number from 1 to {MOST_THREADS}")
    for name, value, known in (("isa", isa, (None, *ISAS)), ("claim", claim, CLAIMS)):
        if value not in known:
            raise Error(f"{name} is {value!r}: choose one of {', '.join(filter(None, known))}")
    options = {"num_threads": str(num_threads), "claim": claim}
    options |= {**({"isa": isa} if isa else {}), **({"profile": "1"} if profile else {})}
    module, path = stock(package), library()
    # Where this fails, the stock load_delegate leaves a traceback on standard error.
    load(path)
    try:
        return module.load_delegate(str(path), options)
    except (ValueError, OSError, AttributeError) as error:
        reason = str(error).split("\n", 1)[-1]
        raise Error(f"{shown(path)} cannot be loaded: {one_line(reason)}") from error


def Interpreter(
    path: str | os.PathLike,
    num_threads: int = 1,
    isa: str | None = None,
    claim: str = "all",
    package: str | None = None,
):
    """A flatbuffer in the stock `Interpreter`, with the delegate: call `allocate_tensors()` first, as there.

    Arguments:
        path: the .tflite file.
        num_threads: 1 to 64, of the delegate, and of XNNPACK for the rest.
        isa, claim, package: as for `load_delegate`.

    Raises:
        Error: the file is missing or damaged, the delegate refuses it, or as `load_delegate`.
    """
    return load_with(load_delegate(num_threads, isa, claim, package), path, num_threads, package)


def load_with(delegate, path: str | os.PathLike, num_threads: int = 1, package: str | None = None):
    """The same with a delegate that `load_delegate` gave."""
    path = Path(path)
    if not path.is_file():
        raise Error(f"{shown(path)}: no such file")
    try:
        with warnings.catch_warnings():
            # TensorFlow's tells that its interpreter moves to another package.
            warnings.simplefilter("ignore")
            # By its content: interpreters take no path that is not UTF-8.
            return stock(package).Interpreter(
                model_content=path.read_bytes(), num_threads=num_threads, experimental_delegates=[delegate]
            )
    except (ValueError, RuntimeError, OSError) as error:
        raise Error(f"{shown(path)}: cannot be loaded as a flatbuffer ({one_line(error)})") from error
