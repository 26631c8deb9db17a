"""The exporter as a user runs it: a process, its exit status, what it writes and serves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from support.loopback import OPENER
from support.processes import eventually

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "parsl_exporter")


def environment(**changes: str) -> dict[str, str]:
    """This process's environment for a program that runs the tree under test, with its interpreter's programs first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "exporter")} | changes


def run(*arguments: str | Path, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with these changes of the environment."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def until(what: str, asked: Callable[[], T | None], seconds: float = 30) -> T:
    """What `asked` gives as soon as it gives something; a program that does not answer gives nothing."""

    def answered() -> T | None:
        with suppress(OSError):
            return asked()
        return None

    return eventually(what, seconds, answered)


class Serving(NamedTuple):
    """An exporter that serves. `log` is its standard error, as JSON lines."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of an answer."""
        try:
            with OPENER.open(self.url + path, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def value(self, sample: str) -> float | None:
        """The value of the sample that is spelled so on the page; None when it is not there."""
        lines = self.get("/metrics")[1].splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == sample]
        return float(found[0]) if found else None

    def events(self, message: str) -> list[dict[str, Any]]:
        """The events of its log with this message."""
        return [one for one in _events(self.log) if one["msg"] == message]


@contextmanager
def serving(folder: Path, *arguments: str | Path, at_once: signal.Signals | None = None) -> Iterator[Serving]:
    """An exporter that listens on a free port of this machine, with `folder` as its working folder.

    `at_once` is sent while it still loads its libraries.
    """
    log = folder / "exporter.log"
    command = [*COMMAND, "serve", "--web.listen-address", "127.0.0.1:0", "--log.format", "json", *arguments]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stderr=stderr)
    try:
        if at_once is not None:
            # No library of Python's own will do: some builds have them in the interpreter.
            until("loading", lambda: "/numpy/" in Path(f"/proc/{process.pid}/maps").read_text())
            process.send_signal(at_once)
        url = until("listening", lambda: _listening(process, log))
        yield Serving(process, log, url)
    finally:
        process.kill()
        process.wait()


def ended(process: subprocess.Popen[bytes], sent: signal.Signals) -> tuple[int, float]:
    """Send a signal; gives the exit status and the seconds that it took to end."""
    begin = time.monotonic()
    process.send_signal(sent)
    return process.wait(timeout=30), time.monotonic() - begin


def _listening(process: subprocess.Popen[bytes], log: Path) -> str | None:
    alive = process.poll() is None
    url = next((one["url"] for one in _events(log) if one["msg"] == "listening"), None)
    assert url or alive, log.read_text()
    return url


def _events(log: Path) -> Iterator[dict[str, Any]]:
    *lines, _unfinished = log.read_text().split("\n")
    yield from map(json.loads, lines)
