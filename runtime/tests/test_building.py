"""The library is built for both machines, small, and for old systems; a wheel is for its platform."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile

import build_library
import pytest
from conftest import RUNTIME

# e_machine of an ELF file.
ELF = {"x86_64": 62, "aarch64": 183}


@pytest.mark.slow
@pytest.mark.parametrize("target", ELF)
def test_zig_builds_for_both_machines(tmp_path, target):
    if not build_library.has_zig(target):
        pytest.skip("ziglang is not installed")
    library = build_library.build(target, tmp_path).read_bytes()
    assert library[:4] == b"\x7fELF" and int.from_bytes(library[18:20], "little") == ELF[target]
    assert len(library) < {"x86_64": 200_000, "aarch64": 100_000}[target]
    versions = [tuple(map(int, version.split(b"."))) for version in re.findall(rb"GLIBC_([\d.]+)", library)]
    assert versions and max(versions) <= (2, 17)
    assert os.listdir(tmp_path) == [build_library.NAME]


@pytest.mark.slow
def test_zig_builds_for_android_against_its_libc_alone(tmp_path):
    if not build_library.has_zig(build_library.ANDROID):
        pytest.skip("ziglang is not installed")
    library = build_library.build(build_library.ANDROID, tmp_path).read_bytes()
    assert int.from_bytes(library[18:20], "little") == ELF["aarch64"] and len(library) < 100_000
    assert b"\0libc.so\0" in library and b"GLIBC" not in library and b"musl" not in library
    # Android's libc.so has none, and compilers call it in the place of memcmp.
    assert b"\0bcmp\0" not in library
    assert b"\0tflite_plugin_create_delegate\0" in library


def test_modules_of_the_folder_that_people_are_in_are_not_taken(tmp_path):
    if not build_library.has_zig(build_library.machine()):
        pytest.skip("ziglang is not installed")
    for name in ("subprocess.py", "ziglang.py"):
        (tmp_path / name).write_text("raise SystemExit('not ours')")
    (tmp_path / "one.c").write_text("int main(void) { return 0; }")
    command = [*build_library.compiler(build_library.machine()), "-E", "one.c"]
    assert "int main" in subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout


def test_a_failing_compiler_leaves_what_was_there(tmp_path):
    (tmp_path / build_library.NAME).write_text("older")
    with pytest.raises(subprocess.CalledProcessError):
        build_library.build(build_library.machine(), tmp_path, ["false"])
    assert (tmp_path / build_library.NAME).read_text() == "older"
    assert os.listdir(tmp_path) == [build_library.NAME]


def test_without_a_compiler_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(build_library, "has_zig", lambda target: False)
    monkeypatch.setattr(build_library.shutil, "which", lambda name: None)
    with pytest.raises(build_library.NoCompiler, match="install ziglang with pip, or gcc"):
        build_library.compiler(build_library.machine())
    with pytest.raises(build_library.NoCompiler, match="no compiler for riscv64 was found"):
        build_library.compiler("riscv64")


def test_kernels_are_built_for_their_machines():
    names = {target: {path.name for path in build_library.sources(target)} for target in (*ELF, "riscv64")}
    assert names["x86_64"] - names["riscv64"] == {"kernel_avx2.c", "kernel_avx512.c"}
    assert names["aarch64"] - names["riscv64"] == {"kernel_neon.c"}
    assert names["riscv64"] > {"delegate.c", "kernel_portable.c"}


def test_a_wheel_holds_nothing_of_an_earlier_one(tmp_path, monkeypatch):
    """pip leaves the folder `build` in the sources."""
    setuptools = pytest.importorskip("setuptools")

    def build(target, folder):
        if target == "riscv64":
            raise build_library.NoCompiler("none")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / build_library.NAME).touch()

    monkeypatch.setattr(build_library, "build", build)
    for targets, made in ((["aarch64", "x86_64"],) * 2, (["aarch64"],) * 2, (["riscv64"], [])):
        command = build_library.build_py(targets, is_needed=False)(setuptools.Distribution({"packages": []}))
        command.build_lib = str(tmp_path)
        command.ensure_finalized()
        command.run()
        assert sorted(path.name for path in (tmp_path / "ftbnn_runtime").glob("lib/*")) == made


@pytest.mark.slow
def test_the_wheel_is_for_its_platform_and_works(tmp_path):
    pytest.importorskip("wheel")
    unwanted = shutil.ignore_patterns("build", "lib", "*.egg-info", "tests")
    source = shutil.copytree(RUNTIME, tmp_path / "source", ignore=unwanted)
    build = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    machine = build_library.machine()
    assert wheel.name == f"ftbnn_runtime-0.1.0-py3-none-{build_library.platform_tag(machine)}.whl"
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    code = "import ftbnn_runtime as r; print(r.library()); print(r.isa())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(f"{tmp_path}/installed/ftbnn_runtime/lib/{machine}/{build_library.NAME}\n"), (
        done.stderr
    )
