"""A wheel built from the repository works outside it, zoo included."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_the_wheel_works_outside_the_repository(tmp_path):
    source = shutil.copytree(
        ROOT,
        tmp_path / "source",
        ignore=shutil.ignore_patterns(".git", ".venv", "build", "runs", "*.egg-info", "tests"),
    )
    build = [sys.executable, "-m", "pip", "wheel", ".", "-q", "--no-deps", "-w", str(tmp_path / "wheel")]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = (tmp_path / "wheel").iterdir()
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    names = {path.relative_to(installed).as_posix() for path in installed.rglob("*")}
    assert {
        "ftbnn_larq/zoo/recipes/digits.toml",
        "ftbnn_larq/zoo/results/costs.json",
        "ftbnn_larq/report/page.html.j2",
    } <= names
    assert not any(name.startswith(("tests", "zoo", "cli.py")) for name in names)
    code = "import ftbnn_larq.zoo as z, ftbnn_larq.cli as c; print(z.HERE); c.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "list"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(str(installed)), done.stderr
    assert "ftbnn_r18" in done.stdout
