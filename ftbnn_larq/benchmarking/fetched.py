"""LCE's benchmark tool from its releases, in the user's cache."""

from __future__ import annotations

import contextlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ftbnn_larq.errors import ConfigError, ToolError, UnknownNameError
from ftbnn_larq.files import sha256, user_cache, written_whole

RELEASES = "https://github.com/larq/compute-engine/releases"
SECONDS = 60


# What `tool fetch --arch` takes, and its address.
ASSETS = {
    arch: f"{RELEASES}/download/v0.16.0/lce_benchmark_model_{arch.replace('-', '_')}"
    for arch in ("aarch64", "android-arm64")
}
NEEDS_64 = "install the 64-bit Raspberry Pi OS or another 64-bit system, for LCE's fast kernels need it"


def command(arch: str) -> str:
    """What people type to have the tool for an architecture."""
    return f"`ftbnn-larq tool fetch --arch {arch} --sha256 CHECKSUM`"


def cached(arch: str) -> Path:
    """Where the tool for an architecture is kept."""
    return user_cache() / arch / "lce_benchmark_model"


def find(facts: dict) -> Path:
    """The tool that was fetched for a board with these facts (see `device.parse_facts`).

    Raises:
        ToolError: none was, or there is none for such a board; says where to get one.
    """
    machine = facts.get("architecture", "unknown")
    if facts.get("os", "").startswith("Android"):
        arch = "android-arm64" if machine == "aarch64" else None
    else:
        arch = machine if machine in ASSETS and facts.get("bits", 64) == 64 else None
    if arch and cached(arch).is_file():
        return cached(arch)
    if arch:
        raise ToolError(
            f"no benchmark tool for {arch} yet: download {ASSETS[arch]} and name it with --tool, or have it kept by "
            f"{command(arch)}"
        )
    if machine.startswith(("arm", "aarch64")) and not facts.get("os", "").startswith("Android"):
        raise ToolError(
            f"the system there is a 32-bit one ({machine}): {NEEDS_64}; or build LCE's lce_benchmark_model for it and "
            "name it with --tool"
        )
    raise ToolError(f"LCE has no benchmark tool for {machine}: build lce_benchmark_model and name it with --tool")


def fetch(
    arch: str,
    *,
    url: str | None = None,
    digest: str | None = None,
    on_start: Callable[[int | None], None] = lambda size: None,
    on_bytes: Callable[[int], None] = lambda size: None,
) -> dict:
    """Download the tool into the cache.

    Arguments:
        arch: "aarch64" for Linux, "android-arm64".
        url: of the file; that of LCE's release unless given.
        digest: the SHA-256 that it must have; those of LCE's releases are not known here.
        on_start, on_bytes: told the size in bytes where it is known, and the size of each part that arrives.

    Returns:
        `{arch, path, url, bytes, sha256}`.

    Raises:
        UnknownNameError: no such architecture.
        ConfigError: an address or a checksum that is none.
        ToolError: no checksum, or the download failed, was cut off, or is another file; nothing is left behind.
    """
    if arch not in ASSETS:
        raise UnknownNameError("architecture", arch, ASSETS)
    url = url or ASSETS[arch]
    if not re.match(r"https?://", url):
        raise ConfigError(f"{url}: expected an address that begins with https:// or http://")
    if digest is None:
        raise ToolError(
            f"no checksum of {url} is built in, and nothing is kept unchecked: give the one that it must have "
            "with --sha256, or download the file yourself and name it with `benchmark --tool`"
        )
    if not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise ConfigError(f"--sha256 {digest}: a SHA-256 checksum is 64 digits from 0 to f")
    path = cached(arch)
    try:
        with written_whole(path) as temporary:
            _download(url, temporary, on_start, on_bytes)
            found = sha256(temporary)
            if found != digest.lower():
                raise ToolError(f"{url} is another file: its SHA-256 is {found}, expected {digest.lower()}")
            temporary.chmod(0o755)
    except BaseException:
        with contextlib.suppress(OSError):
            # As far as they are empty.
            path.parent.rmdir()
            path.parent.parent.rmdir()
        raise
    return {"arch": arch, "path": str(path), "url": url, "bytes": path.stat().st_size, "sha256": found}


def _download(url: str, target: Path, on_start, on_bytes) -> None:
    try:
        with contextlib.closing(urllib.request.urlopen(url, timeout=SECONDS)) as response, open(target, "wb") as file:
            expected = response.length
            on_start(expected)
            while block := response.read(1 << 16):
                file.write(block)
                on_bytes(len(block))
            got = file.tell()
    except urllib.error.HTTPError as error:
        raise ToolError(f"{url}: the server says {error.code} {error.reason}: see {RELEASES}, or give --url") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ToolError(f"{url}: cannot be downloaded ({reason}): is there a network? Or give --url") from error
    if expected is not None and got != expected:
        raise ToolError(f"{url}: the download was cut off after {got} of {expected} bytes: try again")
