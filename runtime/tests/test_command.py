"""ftbnn-classify."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import RUNTIME, colors

from ftbnn_runtime import Classifier, benchmark, command


@pytest.fixture
def run(capfd, monkeypatch):
    """The command's status, output and errors."""

    def run(*arguments, given: bytes = b""):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(given)))
        with pytest.raises(SystemExit) as ended:
            command.main(list(map(str, arguments)))
        written = capfd.readouterr()
        told = [line for line in written.err.splitlines() if line.startswith("ftbnn-classify: ")]
        return SimpleNamespace(status=ended.value.code or 0, out=written.out, told=told)

    return run


@pytest.fixture
def folder(tmp_path):
    from PIL import Image

    (tmp_path / "photos" / "below").mkdir(parents=True)
    names = ["b.png", "a b.jpg", "below/c.PNG", ".hidden.png"]
    for seed, name in enumerate(names):
        Image.fromarray(colors(40, 50, seed)).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    return tmp_path / "photos"


def test_a_picture_is_a_line(run, published, photo):
    done = run(published, photo, "--top", 2)
    label, probability = Classifier(published)(photo)[0]
    assert done.status == 0 and done.told == []
    assert done.out.startswith(f"{photo}: {label} {probability:.1%}  ") and done.out.count("%") == 2


def test_a_folder_is_all_its_pictures(run, published, folder):
    done = run(published, folder, "--json")
    results = json.loads(done.out)
    assert [result["image"] for result in results] == [
        f"{folder}/{name}" for name in ("a b.jpg", "b.png", "below/c.PNG")
    ]
    assert [len(result["top"]) for result in results] == [5, 5, 5]
    assert results[0]["top"] == [list(pair) for pair in Classifier(published)(folder / "a b.jpg")[:5]]


def test_links_in_a_folder_are_followed_but_not_in_a_ring(run, published, folder, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "photos").symlink_to(folder)
    (folder / "ring").symlink_to(tmp_path / "links")
    done = run(published, tmp_path / "links", "--json")
    assert [result["image"].rpartition("/")[2] for result in json.loads(done.out)] == ["a b.jpg", "b.png", "c.PNG"]


def test_a_folder_that_cannot_be_read_is_told(run, published, folder, monkeypatch):
    scan = os.scandir

    def scandir(place):
        if str(place).endswith("below"):
            raise PermissionError(13, "Permission denied", place)
        return scan(place)

    monkeypatch.setattr(os, "scandir", scandir)
    done = run(published, folder, "--json")
    assert done.status == 2 and len(json.loads(done.out)) == 2
    assert done.told == [f"ftbnn-classify: {folder}/below: this folder cannot be read (Permission denied)"]
    assert "this folder cannot be read" in run(published, folder / "below").told[0]


def test_a_deployed_program_has_its_network(run, published, photo, capfd):
    assert run("--deployed", published, photo).out == run(published, photo).out
    for module, name in ((command, "classify"), (benchmark, "benchmark")):
        with pytest.raises(SystemExit):
            module.main(["--deployed", str(published), "--help"])
        told = capfd.readouterr().out
        assert (
            told.startswith(f"usage: {name} ")
            and "ftbnn-classify" not in told
            and " model" not in told.split("\n\n")[0]
        )


def test_standard_input_gives_paths(run, published, folder):
    done = run(published, "-", given=f"{folder}/b.png\n\n{folder}/a b.jpg\r\n".encode())
    assert done.status == 0
    assert [line.split(": ")[0] for line in done.out.splitlines()] == [f"{folder}/b.png", f"{folder}/a b.jpg"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_line(published, photo, number):
    command = [sys.executable, "-m", "ftbnn_runtime", str(published), "-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(RUNTIME)}, **pipes) as process:
        process.stdin.write(os.fsencode(photo) + b"\n")
        process.stdin.flush()
        # Then it waits for the next path.
        assert process.stdout.readline().startswith(os.fsencode(photo))
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and told.splitlines()[-1] == b"ftbnn-classify: interrupted"


def test_names_need_not_be_text(run, published, folder):
    path = bytes(folder / "b.png").replace(b"b.png", b"caf\xe9\x1b[31m.png")
    shutil.copy(folder / "b.png", path)
    done = run(published, "-", given=path)
    assert "caf\\udce9?[31m.png: " in done.out
    assert json.loads(run(published, "-", "--json", given=path).out)[0]["image"].endswith("caf\udce9\x1b[31m.png")


def test_times_are_told(run, published, photo):
    (result,) = json.loads(run(published, photo, "--time", "--json").out)
    assert 0 < result["read_ms"] < 10_000 and 0 < result["network_ms"] < 10_000
    assert " ms, network " in run(published, photo, "--time").out


def test_a_bad_picture_does_not_stop_the_others(run, published, folder):
    (folder / "a b.jpg").write_bytes(b"damaged")
    done = run(published, folder, "--top", 1)
    assert done.status == 2
    assert done.told == [f"ftbnn-classify: {folder}/a b.jpg: cannot be read as a picture (not a picture file)"]
    assert len(done.out.splitlines()) == 2
    assert len(json.loads(run(published, folder, "--json").out)) == 2


@pytest.mark.parametrize(
    "arguments, told",
    [
        ([], "the following arguments are required: model, pictures. For help: ftbnn-classify --help"),
        (["none.tflite", "photo.jpg"], "none.tflite: no such file"),
        (["NETWORK", "photo.jpg", "--top", "0"], "argument --top: '0' is not a whole number from 1 on"),
        (["NETWORK", "photo.jpg", "--threads", "65"], "num_threads is 65: give a whole number from 1 to 64"),
        (["NETWORK", "EMPTY"], "there are no pictures in this folder"),
        (["NETWORK", "photo.jpg", "--speed"], "unrecognized arguments: --speed"),
    ],
)
def test_wrong_arguments_are_a_line(run, published, tmp_path, arguments, told):
    (tmp_path / "empty").mkdir()
    done = run(*({"NETWORK": published, "EMPTY": tmp_path / "empty"}.get(each, each) for each in arguments))
    assert done.status == 2 and done.out == ""
    (line,) = done.told
    assert told in line


def test_labels_cannot_steer_the_terminal(run, network, photo):
    path = network.with_suffix(".json")
    document = json.loads(path.read_text())
    document["data"]["labels"] = ["\x1b]0;title\x07\nline"] * 10
    path.write_text(json.dumps(document))
    out = run(network, photo).out
    assert out.count("\n") == 1 and "\x1b" not in out and "?]0;title??line" in out


@pytest.mark.parametrize(
    "how, status, told",
    [
        (">&-", 0, ""),
        ("--json >/dev/full", 2, "ftbnn-classify: the answers cannot be written ("),
        (">/dev/full", 2, "ftbnn-classify: the answers cannot be written ("),
        ("- <&-", 2, "ftbnn-classify: -: standard input is closed"),
        # Open for writing alone.
        ("- 0>/dev/null", 2, "ftbnn-classify: -: standard input cannot be read ("),
    ],
)
def test_ends_that_are_closed_or_full_are_told_in_a_line(published, photo, how, status, told):
    line = f'"$0" -m ftbnn_runtime "$1" "$2" {how}'
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME)}
    shell = ["sh", "-c", line, sys.executable, published, photo]
    done = subprocess.run(shell, capture_output=True, text=True, env=environment, timeout=120)
    lines = [line for line in done.stderr.splitlines() if "ftbnn-classify" in line or "Error" in line]
    assert done.returncode == status and all(line.startswith(told) for line in lines) and len(lines) == bool(told)


@pytest.mark.parametrize("how", ["2>&-", "2>/dev/full"])
def test_errors_that_cannot_be_told_are_not_among_the_answers(published, photo, tmp_path, how):
    (tmp_path / "bad.png").write_bytes(b"damaged")
    line = f'"$0" -m ftbnn_runtime "$1" bad.png "$2" --json {how}'
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME)}
    shell = ["sh", "-c", line, sys.executable, published, photo]
    done = subprocess.run(shell, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
    assert done.returncode == 2
    assert [result["image"] for result in json.loads(done.stdout)] == [str(photo)]
