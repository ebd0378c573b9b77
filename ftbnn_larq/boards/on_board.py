"""What `deploy` does on the board. This file is sent there: Python 3.9 runs it, and it imports nothing else of ours.

    python3 on_board.py STEP '{"argument": ...}'

prints one line, "ftbnn: " and the JSON of what the step gives, or of `{"error": why}`.

A deployed folder holds a version, a hidden folder, and links to it. A new version is made beside the old one; one
rename then makes it the current one:

    ftbnn/.version.k3x9/    packages/, venv/, model.tflite, model.json, python, classify, classify.py, benchmark
    ftbnn/.current          -> .version.k3x9
    ftbnn/classify          -> .current/classify, and so on
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
import zipfile

CURRENT, VERSION = ".current", ".version."
# What a killed board may have left is removed after so long; younger ones may belong to a session under way.
STALE_SECONDS = 3600


class Refused(Exception):
    """What the user can mend."""


def look(to: str) -> dict:
    """Where a folder really is, below the home unless it is a whole path, and what is there: `{to, current}`."""
    folder = os.path.realpath(os.path.join(os.path.expanduser("~"), os.path.expanduser(to)))
    current = os.path.join(folder, CURRENT)
    return {"to": folder, "current": os.path.realpath(current) if os.path.isdir(current) else None}


def begin(to: str, work: str, names: list[str]) -> dict:
    """Make the folder of a new version: `{to, version, current}`. The guard removes it unless it is activated."""
    found = look(to)
    folder = found["to"]
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise Refused(f"{folder} is a file: give another folder with --to")
    there = os.listdir(folder) if os.path.isdir(folder) else []
    if there and not any(name == CURRENT or name.startswith(VERSION) for name in there):
        raise Refused(f"{folder} holds other files: give another folder with --to, or remove them")
    for name in names:
        path = os.path.join(folder, name)
        if os.path.lexists(path) and not _is_ours(path):
            raise Refused(f"{path} is not what deploy put there: move it away")
    os.makedirs(folder, exist_ok=True)
    for name in there:
        path = os.path.join(folder, name)
        old = name.startswith(VERSION) and time.time() - os.lstat(path).st_mtime > STALE_SECONDS
        if old and path != found["current"]:
            shutil.rmtree(path, ignore_errors=True)
    version = tempfile.mkdtemp(prefix=VERSION, dir=folder)
    with open(os.path.join(work, "aside"), "w", errors="surrogateescape") as file:
        file.write(version)
    # Services of other users may run it.
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(version, 0o777 & ~umask)
    return {**found, "version": version}


def take(version: str, current: str | None, packages: list[str], files: dict[str, str], once: bool) -> dict:
    """Link into a new version what the current one has already: `{packages, files}` are the names it lacks.

    Arguments:
        files: name -> SHA-256.
        once: whether the current version outlives the new one.
    """
    os.makedirs(os.path.join(version, "packages"), exist_ok=True)
    lacking = {"packages": list(packages), "files": list(files)}
    if not current:
        return lacking
    for name in packages:
        there = os.path.join(current, "packages", name)
        if os.path.isdir(there):
            link = os.symlink if once else _link_all
            link(there, os.path.join(version, "packages", name))
            lacking["packages"].remove(name)
    for name, digest in files.items():
        there = os.path.join(current, name)
        if os.path.isfile(there) and _sha256(there) == digest:
            _link(there, os.path.join(version, name))
            lacking["files"].remove(name)
    return lacking


def unpack(version: str, archive: str, to: str) -> dict:
    """Unpack a wheel into the version's packages, and remove it."""
    folder = os.path.join(version, "packages", to)
    os.makedirs(folder)
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    os.unlink(archive)
    return {}


def move(version: str, path: str, to: str) -> dict:
    """Take a file that was sent into the version."""
    target = os.path.join(version, to)
    shutil.copyfile(path, target)
    os.unlink(path)
    return {}


def finish(version: str, scripts: dict[str, str]) -> dict:
    """Write the environment and scripts, name -> text. `{venv}` says whether there is a venv, or the packages alone."""
    packages = os.path.join(version, "packages")
    paths = [os.path.join(packages, name) for name in sorted(os.listdir(packages))]
    has_venv = _make_venv(os.path.join(version, "venv"), paths)
    if has_venv:
        python = 'exec "$here/venv/bin/python" "$@"'
    else:
        places = ":".join(f"$here/packages/{os.path.basename(path)}" for path in paths)
        python = f'PYTHONPATH="{places}${{PYTHONPATH:+:$PYTHONPATH}}" exec {shlex.quote(sys.executable)} "$@"'
    begin = '#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\n'
    for name, text in {"python": f"{begin}{python}\n", **scripts}.items():
        path = os.path.join(version, name)
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        if text.startswith("#!"):
            os.chmod(path, os.stat(path).st_mode | 0o111)
    return {"venv": has_venv}


def _make_venv(folder: str, paths: list[str]) -> bool:
    """A venv that sees the system's packages, such as a camera's, behind these; False where Python cannot make one."""
    try:
        import venv

        venv.EnvBuilder(system_site_packages=True, symlinks=True).create(folder)
        (site,) = (
            os.path.join(place, "site-packages")
            for place, names, _ in os.walk(os.path.join(folder, "lib"))
            if "site-packages" in names
        )
        with open(os.path.join(site, "ftbnn.pth"), "w") as file:
            file.write("".join(f"{path}\n" for path in paths))
        return True
    except OSError as error:
        if error.errno == 28:
            raise
    except (ImportError, ValueError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return False


def activate(to: str, work: str, version: str, names: list[str]) -> dict:
    """Make a version the current one, link what people type, and remove the version before it."""
    if not os.path.isdir(version):
        raise Refused(f"{version} is gone: was something else deployed or removed there meanwhile? Deploy again")
    current = os.path.join(to, CURRENT)
    before, made = os.path.realpath(current), []
    try:
        for name in names:
            path = os.path.join(to, name)
            if not os.path.lexists(path):
                os.symlink(f"{CURRENT}/{name}", path)
                made.append(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{current}.new")
        os.symlink(os.path.basename(version), f"{current}.new")
    except OSError:
        # The disk is full. The guard removes the version.
        for path in made:
            os.unlink(path)
        raise
    # From here on the guard has nothing to remove, and nothing needs room.
    os.unlink(os.path.join(work, "aside"))
    os.replace(f"{current}.new", current)
    # Others may belong to a session under way.
    if before != version and os.path.basename(before).startswith(VERSION):
        shutil.rmtree(before, ignore_errors=True)
    return {}


def remove(to: str) -> dict:
    """Remove what was deployed: `{to, kept}` are the names of what others put into the folder."""
    folder = look(to)["to"]
    there = os.listdir(folder) if os.path.isdir(folder) else []
    if not any(name == CURRENT or name.startswith(VERSION) for name in there):
        raise Refused(f"nothing is deployed in {folder}: name the folder with --to")
    # What people type first: a half removed version is never called.
    for name in sorted(there, key=lambda name: name.startswith(VERSION)):
        path = os.path.join(folder, name)
        if _is_ours(path) or name == CURRENT:
            os.unlink(path)
        elif name.startswith(VERSION):
            shutil.rmtree(path)
    kept = sorted(os.listdir(folder))
    if not kept:
        os.rmdir(folder)
    return {"to": folder, "kept": kept}


def _is_ours(path: str) -> bool:
    return os.path.islink(path) and os.readlink(path).startswith(f"{CURRENT}/")


def _link_all(source: str, target: str) -> None:
    shutil.copytree(source, target, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


STEPS = {each.__name__: each for each in (look, begin, take, unpack, move, finish, activate, remove)}


def main(step: str, arguments: str) -> None:
    try:
        given = STEPS[step](**json.loads(arguments))
    except Refused as error:
        given = {"error": str(error)}
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error)
        given = {"error": f"{reason}: {error.filename}" if getattr(error, "filename", None) else reason}
    print(f"\nftbnn: {json.dumps(given)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
