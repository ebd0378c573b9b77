"""Ctrl-C and SIGTERM end a command wherever they find it."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

# Python drops what is raised in such a callback. A training has many of them in each step.
IN_A_CALLBACK = """
import os, signal, time, weakref
import click
from ftbnn_larq import cli

class Thing:
    pass

@click.command()
def wait():
    thing = Thing()
    watched = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    del thing
    time.sleep(60)

cli.main(wait, "wait")
"""


def test_one_that_comes_in_a_callback_is_not_lost():
    ended = subprocess.run([sys.executable, "-c", IN_A_CALLBACK], cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stderr.strip()) == (130, "ftbnn-larq: interrupted")
