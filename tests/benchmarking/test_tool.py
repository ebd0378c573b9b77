"""`tool fetch` against an HTTP server on this machine."""

from __future__ import annotations

import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from tests.boards.helpers import PLAIN, RECORDED

CONTENT = f"#!/bin/sh\ncat '{RECORDED}'\n".encode() + b"#" * 100_000
RIGHT, WRONG = hashlib.sha256(CONTENT).hexdigest(), "0" * 64


@pytest.fixture
def web(tmp_path):
    """A server with the tool at /tool, its first half at /half, and nothing else; and an empty cache."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path not in ("/tool", "/half"):
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT if self.path == "/tool" else CONTENT[: len(CONTENT) // 2])

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cache = tmp_path / "cache"
    yield SimpleNamespace(
        url=f"http://127.0.0.1:{server.server_port}",
        cache=cache,
        environment={"XDG_CACHE_HOME": str(cache), "no_proxy": "127.0.0.1"},
    )
    server.shutdown()
    server.server_close()


def test_the_tool_is_fetched_checked_and_found_by_benchmark(web, tmp_path, command):
    fetch = ("tool", "fetch", "--arch", "aarch64", "--url", f"{web.url}/tool", "--sha256", RIGHT.upper(), "--json")
    result = command(*fetch, cwd=tmp_path, **web.environment)
    assert result.status == 0, result.err
    assert result.out["sha256"] == RIGHT and result.out["bytes"] == len(CONTENT)
    assert os.access(result.out["path"], os.X_OK) and result.out["path"].startswith(str(web.cache))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uname").write_text("#!/bin/sh\necho aarch64\n")
    (tmp_path / "bin" / "uname").chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    measured = command("benchmark", PLAIN, "--on", "local", "--json", cwd=tmp_path, PATH=path, **web.environment)
    assert measured.out[0]["latency_ms"]["mean"] == pytest.approx(98.9494), measured.err


@pytest.mark.parametrize(
    ("page", "digest", "words"),
    [
        ("tool", WRONG, f"is another file: its SHA-256 is {RIGHT}, expected {WRONG}"),
        ("half", RIGHT, f"cut off after {len(CONTENT) // 2} of {len(CONTENT)} bytes"),
        ("none", RIGHT, "the server says 404"),
        ("tool", "abc", "64 digits"),
    ],
)
def test_a_bad_download_leaves_nothing_behind(refused, web, page, digest, words):
    said = refused(
        "tool", "fetch", "--arch", "aarch64", "--url", f"{web.url}/{page}", "--sha256", digest, **web.environment
    )
    assert words in said
    assert list(web.cache.rglob("*")) == []


def test_a_download_that_fails_keeps_the_tool_that_was_there(refused, web, tmp_path, command):
    fetch = ("tool", "fetch", "--arch", "android-arm64", "--url", f"{web.url}/tool", "--sha256")
    assert command(*fetch, RIGHT, cwd=tmp_path, **web.environment).status == 0
    refused(*fetch, WRONG, **web.environment)
    (kept,) = (path for path in web.cache.rglob("*") if path.is_file())
    assert kept.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--arch", "arch64"), "did you mean aarch64"),
        (("--arch", "aarch64", "--url", "ftp://x"), "https://"),
        (("--arch", "aarch64"), "give the one that it must have with --sha256, or download the file yourself"),
        (("--arch", "aarch64", "--url", "file:///etc/passwd", "--sha256", RIGHT), "https://"),
        (("--arch", "aarch64", "--url", "http://127.0.0.1:1/x", "--sha256", RIGHT), "cannot be downloaded"),
        (("--arch", "aarch64", "--url", "http://[::1", "--sha256", RIGHT), "cannot be downloaded (Invalid IPv6 URL)"),
        ((), "--arch"),
    ],
)
def test_what_cannot_be_fetched_is_told(refused, web, arguments, words):
    assert words in refused("tool", "fetch", *arguments, **web.environment)
