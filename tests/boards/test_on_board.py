"""The steps of `deploy` on the board, where two of them meet or one fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftbnn_larq.boards import on_board

NAMES = ["classify"]


def begun(folder, work):
    """A new version with a program that tells its work folder's name."""
    work.mkdir()
    step = {"to": str(folder), "work": str(work)}
    version = on_board.begin(**step, names=NAMES)["version"]
    Path(version, "packages").mkdir()
    on_board.finish(version, {"classify": f"#!/bin/sh\necho {work.name}\n"})
    return {**step, "version": version, "names": NAMES}


def told(folder) -> str:
    return (folder / "classify").read_text().split()[-1]


def versions(folder) -> int:
    return len([*folder.glob(".version.*")])


def test_of_two_deploys_at_once_the_later_one_stands_and_one_that_was_taken_away_is_told(tmp_path):
    folder = tmp_path / "ftbnn"
    first, second, third = (begun(folder, tmp_path / name) for name in ("first", "second", "third"))
    on_board.activate(**first)
    assert told(folder) == "first"
    on_board.activate(**second)
    assert told(folder) == "second" and versions(folder) == 2
    on_board.remove(str(folder))
    with pytest.raises(on_board.Refused, match=r"is gone: .* Deploy again"):
        on_board.activate(**third)


def test_where_the_last_step_fails_the_guard_has_the_version_to_remove_and_the_old_one_stands(tmp_path):
    folder = tmp_path / "ftbnn"
    # A folder stands where a link has to be made.
    (folder / ".current.new").mkdir(parents=True)
    (folder / ".version.old").mkdir()
    step = begun(folder, tmp_path / "first")
    with pytest.raises(OSError):
        on_board.activate(**step)
    assert (tmp_path / "first" / "aside").read_text() == step["version"]
    assert not (folder / "classify").is_symlink()
    (folder / ".current.new").rmdir()
    on_board.activate(**step)
    assert told(folder) == "first" and not (tmp_path / "first" / "aside").exists()
