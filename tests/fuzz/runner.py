"""Runs cases in processes of their own, and starts them again after a death or a silence."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import kinds

ROOT = Path(__file__).parents[2]
# A later answer is a finding.
SECONDS = 60
# The start of a process imports TensorFlow, beside others that do. It is no case: a late one is not told of.
START_SECONDS = 600
# Nothing of a case needs that much; it is stopped before the machine is full.
FATAL_MB = 8_000


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a case found; it comes again with `python -m tests.fuzz --seed SEED`."""

    seed: int
    kind: str
    what: str


@dataclasses.dataclass
class Outcome:
    """Of all cases: their number by kind, the findings, and the seconds of each kind."""

    counts: collections.Counter
    seconds: collections.Counter
    findings: list[Finding]


class _Worker:
    """A process of `worker`, started when it is needed. `folder` is for all that it leaves."""

    def __init__(self, kind: str | None, seconds: float):
        self.kind, self.seconds, self.process = kind, seconds, None

    def run(self, seed: int) -> dict:
        """The answer to a seed."""
        if self.process is None or self.process.poll() is not None:
            self._start()
            if self._line(START_SECONDS) != b"ready\n":
                raise RuntimeError(f"the process of the cases does not start: {self._said()}")
        # Of a process that has just ended, the answer says why.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{seed}\n".encode())
            self.process.stdin.flush()
        try:
            line = self._line(self.seconds)
        except TimeoutError as error:
            self.stop()
            return {"found": str(error), "late": True}
        except MemoryError as error:
            self.stop()
            return {"found": str(error)}
        if line:
            answer = json.loads(line)
            if answer["last"]:
                self.stop()
            return answer
        status, said = self.process.wait(), self._said()
        self.stop()
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return {"found": f"the process died ({name}): {said}"}

    def _line(self, seconds: float) -> bytes:
        """The next line; b"" where the process has ended."""
        end = time.monotonic() + seconds
        while not select.select([self.process.stdout], [], [], 0.5)[0]:
            if time.monotonic() > end:
                raise TimeoutError(f"no answer within {seconds:g} s")
            if (used := _megabytes(self.process.pid)) > FATAL_MB:
                raise MemoryError(f"{used:,.0f} MB of memory")
        return self.process.stdout.readline()

    def _start(self) -> None:
        self.stop()
        self.folder = tempfile.mkdtemp(prefix="ftbnn-fuzz-")
        self.errors = open(Path(self.folder) / "errors", "w+b")  # noqa: SIM115 (closed by stop)
        command = [sys.executable, "-m", "tests.fuzz.worker", *([self.kind] if self.kind else [])]
        environment = {
            **os.environ,
            "TMPDIR": self.folder,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        }
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes)

    def _said(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read()[-20_000:].decode(errors="replace").strip().splitlines()
        own = [line.strip() for line in lines if "ftbnn_" in line or "rror" in line]
        return " | ".join((own or lines)[:4])[:500]

    def stop(self) -> None:
        """End the process with all that it started."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.process = None


def _megabytes(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0


def run(
    cases: int,
    seed: int = 0,
    kind: str | None = None,
    *,
    processes: int | None = None,
    seconds: float = SECONDS,
    on_finding: Callable[[Finding], None] = lambda finding: None,
) -> Outcome:
    """Run the cases of seeds from `seed` on.

    Arguments:
        kind: a key of `kinds.KINDS` for cases of that kind alone.
        processes: at a time; one a core unless given.
        seconds: after which an answer is late. A late case is tried once more, for the machine may have been busy.
        on_finding: told each finding as it comes.
    """
    outcome = Outcome(collections.Counter(), collections.Counter(), [])
    seeds, lock = itertools.count(seed), threading.Lock()
    failed: list[BaseException] = []

    def work() -> None:
        worker = _Worker(kind, seconds)
        try:
            while not failed:
                with lock:
                    each = next(seeds)
                if each >= seed + cases:
                    return
                answer = worker.run(each)
                if answer.get("late"):
                    answer = worker.run(each)
                with lock:
                    _note(each, answer)
        except BaseException as error:
            failed.append(error)
        finally:
            worker.stop()

    def _note(each: int, answer: dict) -> None:
        name = answer.get("kind") or kinds.drawn(each, kind)[0]
        outcome.counts[name] += 1
        outcome.seconds[name] += answer.get("seconds", seconds)
        if answer["found"]:
            outcome.findings.append(Finding(each, name, answer["found"]))
            on_finding(outcome.findings[-1])

    threads = [threading.Thread(target=work) for _ in range(processes or len(os.sched_getaffinity(0)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:
        failed.append(error)
        raise
    if failed:
        raise failed[0]
    outcome.findings.sort(key=lambda finding: finding.seed)
    return outcome
