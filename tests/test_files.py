"""Files are written whole or not at all, two that belong together too."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ftbnn_larq.benchmarking.tool import check_tool
from ftbnn_larq.errors import FtbnnError
from ftbnn_larq.files import SCRATCH, check_ends, remove_leftovers, write_text, written_together, written_whole
from ftbnn_larq.inference.interpreter import Interpreter


def test_two_files_are_replaced_together_or_not_at_all(tmp_path):
    model, told = tmp_path / "model.tflite", tmp_path / "model.json"
    with written_together(model, told) as (new, beside):
        new.write_text("first")
        beside.write_text("of first")
        assert not model.exists() and not told.exists()
    for fails in (model, told):
        with pytest.raises(OSError), written_together(model, told) as (new, beside):
            new.write_text("second")
            if fails == told:
                raise OSError("no space")
            new.unlink()
            beside.write_text("of second")
        assert (model.read_text(), told.read_text()) == ("first", "of first")
    assert not list(tmp_path.glob(f"{SCRATCH}*"))


def test_a_full_disk_leaves_the_two_files_of_before(small_disk):
    disk = small_disk("1m")
    model, told = disk / "model.tflite", disk / "model.json"
    for path in (model, told):
        path.write_text(path.name)
    with pytest.raises(OSError, match=r"space.*disk/model"), written_together(model, told) as (new, beside):
        new.write_bytes(bytes(900_000))
        beside.write_bytes(bytes(900_000))
    assert (model.read_text(), told.read_text()) == ("model.tflite", "model.json")
    (disk / "filling").write_bytes(bytes(shutil.disk_usage(disk).free))
    with pytest.raises(OSError, match=r"space.*disk/more\.txt'$"):
        write_text(disk / "more.txt", "more" * 10_000)


def test_a_file_that_cannot_take_a_folders_place_is_named(tmp_path):
    (tmp_path / "picture.png").mkdir()
    with pytest.raises(IsADirectoryError) as told:
        write_text(tmp_path / "picture.png", "a picture")
    assert told.value.filename == str(tmp_path / "picture.png")
    assert [path.name for path in tmp_path.rglob("*")] == ["picture.png"]


def test_leftovers_of_a_killed_process_are_removed_and_those_in_use_stay(tmp_path):
    left = tmp_path / "checkpoints" / f"{SCRATCH}abc" / "epoch-0001.weights.h5"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    with written_whole(tmp_path / "in use.txt") as temporary:
        temporary.write_text("whole")
        remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["checkpoints", "in use.txt"]


def test_what_may_be_read_for_ever_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero", "nowhere"):
        with pytest.raises(OSError) as told:
            check_ends(tmp_path / name)
        assert told.value.filename == str(tmp_path / name)
    # As a shell gives the output of another command.
    reads, writes = os.pipe()
    check_ends(f"/dev/fd/{reads}")
    check_ends(tmp_path)
    os.close(reads)
    os.close(writes)


def test_no_file_takes_the_place_of_a_device_or_a_pipe(tmp_path, refused):
    os.mkfifo(tmp_path / "pipe.tflite")
    (tmp_path / "null.tflite").symlink_to("/dev/null")
    for name in ("pipe.tflite", "null.tflite"):
        with pytest.raises(OSError, match="is a pipe or a device"):
            write_text(tmp_path / name, "text")
        # Before anything is loaded.
        said = refused("convert", "ftbnn_r18:cifar10", "-o", tmp_path / name)
        assert f"{name}: is a pipe or a device, whose place a file would take: name another" in said
    assert (tmp_path / "pipe.tflite").is_fifo() and (tmp_path / "null.tflite").is_char_device()


@pytest.mark.parametrize(
    "read", [check_tool, lambda path: Interpreter(path, engine="lce")], ids=["tool", "interpreter"]
)
def test_a_device_is_no_tool_and_no_flatbuffer(read):
    with pytest.raises(FtbnnError, match="is no file, but a pipe or a device"):
        read(Path("/dev/zero"))
