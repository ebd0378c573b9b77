"""A wheel built from the repository works outside it, zoo included; and what people type to install it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def source(tmp_path):
    """A copy of the repository, for a build writes into it."""
    unwanted = shutil.ignore_patterns(".git", ".uv", ".venv", ".pytest_cache", "build", "runs", "*.egg-info", "tests")
    return shutil.copytree(ROOT, tmp_path / "source", ignore=unwanted)


@pytest.fixture
def newer_python():
    """A Python that TensorFlow has no wheels for, with pip."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which(f"python3.{minor}") for minor in (13, 14)]
    for python in filter(None, [*candidates, *pyenv.glob("versions/3.1[34].*/bin/python3")]):
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0:
            return python
    pytest.skip("there is no Python 3.13 or 3.14 with pip, neither in PATH nor in pyenv")


def readme_commands() -> list[str]:
    """The two of the README: one installs and runs the main job, one installs and runs the tests."""
    return re.findall(r"```sh\n(python3 .*)\n```", (ROOT / "README.md").read_text(encoding="utf-8"))


def test_people_and_ci_run_the_tests_by_one_command():
    main_job, tests = readme_commands()
    assert tests == main_job.split("install . ")[0] + 'install ".[test]" && python -m pytest'
    for name in (".ci/run", "CONTRIBUTING.md"):
        assert tests in (ROOT / name).read_text(encoding="utf-8"), name


@pytest.mark.slow
def test_pip_on_a_newer_python_says_what_to_type(source, tmp_path, newer_python):
    build = [newer_python, "-m", "pip", "wheel", ".", "--no-deps", "-w", str(tmp_path / "wheel")]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = (line for line in (done.stdout + done.stderr).splitlines() if "ftbnn-larq needs Python" in line)
    assert line.endswith(": " + readme_commands()[0].split(" && ftbnn-larq")[0])


@pytest.mark.slow
def test_the_wheel_works_outside_the_repository(source, tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", ".", "-q", "--no-deps", "-w", str(tmp_path / "wheel")]
    # The installation of the tests has built it in an environment of its own, which takes a compiler of 98 MB.
    if all(map(importlib.util.find_spec, ("setuptools", "wheel", "ziglang"))):
        build.append("--no-build-isolation")
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = (tmp_path / "wheel").iterdir()
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    names = {path.relative_to(installed).as_posix() for path in installed.rglob("*")}
    assert {
        "ftbnn_larq/zoo/recipes/digits.toml",
        "ftbnn_larq/zoo/results/costs.json",
        "ftbnn_larq/report/page.html.j2",
        "ftbnn_runtime/classifier.py",
        "ftbnn_runtime/lib/x86_64/libftbnn_runtime.so",
        "ftbnn_runtime/lib/aarch64/libftbnn_runtime.so",
    } <= names
    assert not any(name.startswith(("tests", "zoo", "cli.py", "runtime", "build_library")) for name in names)
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
    as_module = subprocess.run(
        [sys.executable, "-m", "ftbnn_larq", "list"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert as_module.stdout == done.stdout.removeprefix(done.stdout.splitlines(True)[0]), as_module.stderr
