"""Programs that a test starts, each in a session of its own, so that all they start in turn can be found and ended.

Parsl's blocks outlive their submit process and leave its process group, but not its session.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest

from parsl_exporter.demo.programs import is_tracker

Found = TypeVar("Found")

TODAY = Path(__file__).parents[2] / ".programs"
"""Where `.ci/programs` puts programs of a later Debian, under the names that Debian gives them."""

INSTALLED_AND_TODAYS = [
    pytest.param(False, id="installed"),
    pytest.param(True, id="today's"),
]
"""Parameters of what is tried with both: the machine's own programs, and those of `TODAY`."""


def required(*names: str, today: bool = False) -> str:
    """The first of these programs that this environment or the machine has; `today`: that `.ci/programs` has brought.

    Without one the test is skipped, or fails where CI is set.
    """
    if found := _found(names, today):
        return found
    missing = f"{names[0]} is not there: make programs" if today else f"{names[0]} is not installed"
    assert not os.environ.get("CI"), missing
    pytest.skip(missing)


def said_by(tool: str, *arguments: str | Path, today: bool = False, fault: bool = False) -> str:
    """What a program says on both its outputs; the test fails when that finds a fault. `today` as in `required`.

    With `fault` it may find one.
    """
    done = subprocess.run(
        [required(tool, today=today), *arguments],
        # Go looks for garbage whenever as much again was made: a third of the time that promtool takes for rules.
        env=os.environ | {"GOGC": "400"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert fault or done.returncode == 0, f"{done.args[0]}: {done.stdout}"
    return done.stdout


def parsl_required() -> None:
    """Skip the test without Parsl's monitoring; where CI is set it is there, or the test fails."""
    if not os.environ.get("CI"):
        pytest.importorskip("parsl.monitoring")


def there(*names: str) -> dict[bool, str]:
    """The program for each of `INSTALLED_AND_TODAYS` that is there.

    Without any the test is skipped; where CI is set it fails if one is missing.
    """
    if os.environ.get("CI"):
        return {today: required(*names, today=today) for today in (False, True)}
    found = {today: path for today in (False, True) if (path := _found(names, today))}
    return found or {False: required(*names)}


def _found(names: Iterable[str], today: bool) -> str | None:
    path = str(TODAY) if today else f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return next(filter(None, (shutil.which(name, path=path) for name in names)), None)


each_programs = pytest.mark.parametrize("today", INSTALLED_AND_TODAYS)
"""A test with the machine's own programs, and with today's."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def eventually(
    what: str, seconds: float, ask: Callable[[], Found | None], so_far: Callable[[], object] = lambda: ""
) -> Found:
    """What `ask` gives, once it gives something. A refused connection counts as nothing.

    Raises AssertionError after so many seconds, with what there is `so_far`.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(ConnectionError):
            if found := ask():
                return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds:g} s {so_far()}")


@contextmanager
def limited(kind: int, most: int) -> Iterator[None]:
    """Within, this process may have no more of a resource (RLIMIT_...), and those that it starts."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


def of_session(leader: int) -> list[int]:
    """The processes of a session that have not ended."""
    return [pid for pid, _, session in _living() if session == leader]


def of_group(leader: int) -> list[int]:
    """The processes of a process group that have not ended."""
    return [pid for pid, group, _ in _living() if group == leader]


def _living() -> Iterator[tuple[int, int, int]]:
    """Each process with its group and session, but for zombies: in many a container nobody takes their status."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # proc(5): the name in brackets may hold anything, brackets and spaces too.
            state, _, group, session, *_ = path.read_bytes().rpartition(b")")[2].decode().split()
            if state not in "ZX":
                yield int(path.parent.name), int(group), int(session)


@contextmanager
def started(
    *command: str | Path, cwd: Path, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A program with pipes for its standard input and output and a log for its errors.

    At the end all of its session is killed: what must end by itself has been waited for by then. Multiprocessing's
    trackers are left a moment to take semaphores away, and temporary files go.
    """
    with log.open("w") as errors, TemporaryDirectory(prefix="t", ignore_cleanup_errors=True) as temporary:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "TMPDIR": temporary, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _kill_session(process)


@contextmanager
def started_listening(
    program: str, folder: Path, *flags: str, name: str, listen: str = "--web.listen-address"
) -> Iterator[str]:
    """A program on a port of loopback, given by `listen`, with its log in `folder` under its `name`; its URL."""
    address = f"127.0.0.1:{free_port()}"
    with started(program, f"{listen}={address}", *flags, cwd=folder, log=folder / f"{name}.log"):
        yield f"http://{address}"


@contextmanager
def started_prometheus(
    program: str, folder: Path, *flags: str, name: str = "prometheus", config: str = "prometheus.yml"
) -> Iterator[str]:
    """A Prometheus on a port of loopback, with its data and its log in `folder` under its `name`; its URL."""
    own = (f"--config.file={config}", f"--storage.tsdb.path={name}")
    with started_listening(program, folder, *own, *flags, name=name) as url:
        yield url


@contextmanager
def started_victoria_metrics(folder: Path, *flags: str, today: bool = True) -> Iterator[str]:
    """A VictoriaMetrics that answers at once with what it was sent, with its data and its log in `folder`; its URL."""
    program = required("victoria-metrics", "victoria-metrics-prod", today=today)
    own = ("-storageDataPath=store", "-search.latencyOffset=0s")
    with started_listening(program, folder, *own, *flags, name="store", listen="-httpListenAddr") as url:
        yield url


def _kill_session(leader: subprocess.Popen[str]) -> None:
    begin = time.monotonic()
    while (living := of_session(leader.pid)) and time.monotonic() < begin + 10:
        for pid in living:
            with suppress(ProcessLookupError):
                if time.monotonic() > begin + 2 or not is_tracker(pid):
                    os.kill(pid, signal.SIGKILL)
        leader.poll()
        time.sleep(0.05)
    leader.wait()
    for pipe in (leader.stdin, leader.stdout):
        with suppress(BrokenPipeError):
            pipe and pipe.close()
