"""A short run of the fuzzer: what was changed at random is refused or runs, without touching other memory."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from runtime import build_library
from runtime.fuzz import graphs

WEIGHTS = Path(__file__).parents[2] / "zoo" / "weights"
CHANGES = 1000


@pytest.mark.slow
def test_changed_graphs_are_refused_or_run(tmp_path):
    try:
        fuzzer = build_library.build_fuzzer(tmp_path)
    except build_library.NoCompiler as error:
        pytest.skip(str(error))
    paths = graphs.write(tmp_path, [WEIGHTS / "ftbnn_r18_pure-cifar10.tflite"])
    done = subprocess.run([fuzzer, "0", str(CHANGES), *paths], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    ran, refused = map(int, re.search(r"(\d+) ran, (\d+) were refused", done.stdout).groups())
    # Of the changes neither are all harmless, nor are all graphs refused at the door.
    assert min(ran, refused) > CHANGES / 10
