"""Cases with a finding each, so that the fuzzer itself is seen to notice."""

from __future__ import annotations

import os
import subprocess
import sys
import time


def raises(rng, folder) -> None:
    raise ZeroDivisionError("ours")


def dies(rng, folder) -> None:
    os.abort()


def sleeps(rng, folder) -> None:
    time.sleep(600)


def takes(rng, folder) -> None:
    bytearray(b"1" * (1_700 << 20))


def takes_in_a_child(rng, folder) -> None:
    subprocess.run([sys.executable, "-c", "bytearray(b'1' * (1_700 << 20))"], check=True)


def speaks(rng, folder) -> None:
    raise OSError("KeyError: 'epoch'")


def is_told(rng, folder) -> None:
    raise OSError("no such file")


# Name -> the case, and what is to be said of it.
PLANTED = {
    "raises": (raises, "ZeroDivisionError: ours"),
    "dies": (dies, "the process died (SIGABRT)"),
    "sleeps": (sleeps, "no answer within 2 s"),
    "takes": (takes, "MB of memory"),
    "takes in a child": (takes_in_a_child, "MB in a process of its own"),
    "speaks": (speaks, "an error of Python is shown"),
    "is told": (is_told, None),
}
