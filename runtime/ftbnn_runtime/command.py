"""The command ftbnn-classify."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ftbnn_runtime.errors import Error, one_line, shown

NAME = "ftbnn-classify"
# What a deployed folder's programs say first: the network is theirs, and is not asked for.
DEPLOYED = "--deployed"
EXAMPLE = """examples:
  {0} photo.jpg
  {0} photos/ --json
  find photos -name '*.jpg' | {0} - --time
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are `Error`.

    Arguments:
        model: the network, where it is not asked for.
        help_of_model: otherwise the argument's.
    """

    def __init__(self, *, model: str | None, help_of_model: str, **options):
        super().__init__(allow_abbrev=False, **options)
        if model is None:
            self.add_argument("model", help=help_of_model)
        else:
            self.set_defaults(model=model)

    def error(self, message: str):
        raise Error(f"{message}. For help: {self.prog} --help")


def of_deployed(arguments: list[str] | None) -> tuple[str | None, list[str]]:
    """The network of a deployed program, None for any other, and the arguments that people typed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return (arguments[1], arguments[2:]) if arguments[:1] == [DEPLOYED] else (None, arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; it exits with status 0, 2 after a line for each error, or 130 on Ctrl-C or SIGTERM."""
    model, arguments = of_deployed(arguments)
    name = NAME if model is None else "classify"
    with ends_in_a_line(name):
        status = _run(_parser(name, model).parse_args(arguments), name)
    sys.exit(status)


@contextlib.contextmanager
def ends_in_a_line(name: str) -> Iterator[None]:
    """What ends a command while the block runs is a line: an `Error`, Ctrl-C, SIGTERM, or answers not written."""
    # None where it is closed.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        # Names of files need not be text.
        stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        # systemd sends it.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
        print(end="", flush=True)
    except Error as error:
        _tell(name, error)
        sys.exit(2)
    except KeyboardInterrupt:
        _tell(name, "interrupted")
        sys.exit(130)
    except OSError as error:
        # What reads the answers has ended, or a disk is full. Python would complain of it once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        _tell(name, f"the answers cannot be written ({one_line(error)})")
        sys.exit(2)


def _parser(name: str, model: str | None) -> Parser:
    parser = Parser(
        model=model,
        help_of_model="the .tflite file that `ftbnn-larq convert` wrote",
        prog=name,
        description="Classes of pictures, by a .tflite file with its .json beside it.",
        epilog=EXAMPLE.format(f"{name} model.tflite" if model is None else name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pictures", nargs="+", help="picture files; folders of them; - for paths on standard input")
    parser.add_argument("--top", type=_positive, default=5, metavar="N", help="classes of each picture (default: 5)")
    parser.add_argument("--threads", type=_positive, default=1, metavar="N", help="threads of the network (default: 1)")
    parser.add_argument("--time", action="store_true", help="milliseconds for reading a picture and for the network")
    parser.add_argument("--json", action="store_true", help="one JSON document in place of lines")
    return parser


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _run(arguments, name: str) -> int:
    from ftbnn_runtime.classifier import Classifier

    # A folder without pictures is refused before the network is loaded.
    given = [_pictures_below(path) if os.path.isdir(path) else path for path in arguments.pictures]
    classifier = Classifier(arguments.model, num_threads=arguments.threads)
    results, status = [], 0
    for path in _paths(given):
        try:
            if isinstance(path, OSError):
                raise Error(f"{shown(path.filename)}: this folder cannot be read ({path.strerror})")
            result = _classified(classifier, path, arguments)
        except Error as error:
            _tell(name, error)
            status = 2
            continue
        if arguments.json:
            results.append(result)
        else:
            print(_line(result), flush=True)
    if arguments.json:
        print(json.dumps(results, indent=2))
    return status


def _classified(classifier, path: str, arguments) -> dict:
    start = time.perf_counter()
    prepared = classifier.prepare(path)
    read = time.perf_counter()
    probabilities = classifier.probabilities(prepared)
    end = time.perf_counter()
    result = {"image": path, "top": [list(pair) for pair in classifier.ranked(probabilities)[: arguments.top]]}
    if arguments.time:
        result |= {"read_ms": round((read - start) * 1000, 3), "network_ms": round((end - read) * 1000, 3)}
    return result


def _line(result: dict) -> str:
    ranking = "  ".join(f"{shown(label)} {probability:.1%}" for label, probability in result["top"])
    times = f"  (read {result['read_ms']:.2f} ms, network {result['network_ms']:.2f} ms)" if "read_ms" in result else ""
    return f"{shown(result['image'])}: {ranking}{times}"


def _paths(given: list[str | list[str | OSError]]) -> Iterator[str | OSError]:
    for path in given:
        if isinstance(path, list):
            yield from path
        elif path == "-":
            if sys.stdin is None:
                raise Error("-: standard input is closed: give it paths, one a line")
            try:
                yield from (os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer if line.strip())
            except OSError as error:
                raise Error(f"-: standard input cannot be read ({one_line(error)})") from error
        else:
            yield path


def _pictures_below(folder: str) -> list[str | OSError]:
    """The pictures below a folder; errors in the places of the folders that cannot be read."""
    from ftbnn_runtime.formats import SUFFIXES

    found, seen = [], set()
    for place, folders, files in os.walk(folder, onerror=found.append, followlinks=True):
        # Links may lead in a ring.
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                found.append(os.path.join(place, name))
    if not found:
        raise Error(f"{shown(folder)}: there are no pictures in this folder")
    return found


def _tell(name: str, what: Error | str) -> None:
    # None where it is closed: print would write among the answers. Where it is full, the answers are still wanted.
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"{name}: {what}", file=sys.stderr)
