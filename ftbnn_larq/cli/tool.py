"""ftbnn-larq tool"""

from __future__ import annotations

import click

from ftbnn_larq.cli.output import emit, human_bytes, json_option, progress, say


@click.group()
def tool():
    """LCE's benchmark tool, which measures on boards.

    \b
    Example:
      ftbnn-larq tool fetch --arch aarch64 --sha256 CHECKSUM
    """


@tool.command()
@click.option("--arch", required=True, help="aarch64 (Raspberry Pi and other Linux boards) or android-arm64.")
@click.option("--url", help="Take it from another address.  [default: LCE's release on GitHub]")
@click.option(
    "--sha256", "digest", help="The checksum that the file must have; those of LCE's releases are not built in."
)
@json_option
def fetch(arch: str, url: str | None, digest: str | None, as_json: bool):
    """Download the tool into the user's cache, where `benchmark --on` finds it, if its checksum is right.

    \b
    Example:
      ftbnn-larq tool fetch --arch android-arm64 --sha256 CHECKSUM
    """
    from ftbnn_larq.benchmarking import fetched

    with progress("downloading") as (on_start, on_bytes):
        result = fetched.fetch(arch, url=url, digest=digest, on_start=on_start, on_bytes=on_bytes)

    def show():
        click.echo(f"{result['path']}: {human_bytes(result['bytes'])}, SHA-256 {result['sha256']}")
        where = "adb" if arch.startswith("android") else "ssh:pi@raspberrypi"
        say(f"next: ftbnn-larq benchmark --on {where}")

    emit(as_json, result, show)
