"""`demo`: a real Parsl workflow, and an exporter on its database.

ask         asks them over HTTP
programs    starts programs, and ends them with all that they started
workflow    the workflow, a program of its own
prometheus  Prometheus and Alertmanager, where installed
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory, gettempdir
from typing import NamedTuple, TypeAlias

from rich.console import Group, RenderableType
from rich.text import Text

from parsl_exporter.base.errors import ConfigurationError, ExporterError, UsageError, to_install
from parsl_exporter.base.output import write_out
from parsl_exporter.cli.status import watcher
from parsl_exporter.cli.status.terminal import Screen, board, news
from parsl_exporter.config.address import split_address
from parsl_exporter.config.duration import duration as seconds_of
from parsl_exporter.config.settings import Settings, SourceSettings, WebSettings
from parsl_exporter.daemon.daemon import Daemon
from parsl_exporter.demo.programs import Programs
from parsl_exporter.demo.prometheus import Prometheus, start_prometheus
from parsl_exporter.web.listen import listen, url_of

_REFRESH = 1.0
_PLAIN_EVERY = 5.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NO_RUN = "no run yet: Parsl is starting"
_FOLDER = "parsl-demo-"
# unix(7) gives a socket's path 107 bytes, and HTEX's workers make theirs with multiprocessing, below TMPDIR.
_LONGEST_BASE = 107 - len(f"/{_FOLDER}......../tmp/pymp-......../listener-........")


_Links: TypeAlias = list[tuple[str, str]]
"""Names and URLs of what to look at."""


class _Address(NamedTuple):
    address: str
    url: str
    note: str


def demo(
    listen_address: str | None,
    duration: str | None,
    *,
    with_prometheus: bool = False,
) -> int:
    """Run until SIGINT, SIGTERM or SIGHUP, or for `duration`, and leave nothing behind; gives 0.

    Without `listen_address` the exporter takes its usual one, or any free port where that is taken.

    Raises UsageError for arguments that cannot be used, ConfigurationError for an address that is taken,
    ExporterError without Parsl, below a TMPDIR too long for sockets, or when one of the programs ends by itself.
    """
    seconds = _seconds(duration)
    where = _address(listen_address)
    if importlib.util.find_spec("parsl") is None:
        raise ExporterError(f"the demo needs Parsl: {to_install('parsl[monitoring]')}")
    if len(os.fsencode(gettempdir())) > _LONGEST_BASE:
        raise ExporterError(
            f"{gettempdir()} is too long a path for the sockets of the demo's workers:"
            f" set TMPDIR to a folder whose path has {_LONGEST_BASE} bytes or fewer"
        )
    screen = Screen()
    begin = time.monotonic()
    with (
        _signals() as signals,
        TemporaryDirectory(prefix=_FOLDER) as name,
        Programs(Path(name)) as programs,
    ):
        folder = Path(name)
        links = _start(programs, folder, where)
        prometheus = None
        if with_prometheus:
            prometheus = start_prometheus(programs, folder, where.url.removeprefix("http://"))
            if prometheus is None:
                links.append(
                    ("Prometheus", "not installed; on Debian and Ubuntu: apt-get install prometheus")
                )
        daemon = watcher(Settings(sources=(SourceSettings(_database(folder), name="demo"),)))
        daemon.start()
        try:
            shown = _Shown(daemon, links, where.note, prometheus)
            _watch(programs, screen, signals, shown, begin, seconds)
        finally:
            daemon.stop()
    _say(f"Ended after {time.monotonic() - begin:.0f} s; all that was started is gone again.")
    return 0


def _seconds(duration: str | None) -> float:
    try:
        return float("inf") if duration is None else seconds_of(duration)
    except ValueError as error:
        raise UsageError([f"--duration: {error}"]) from None


def _address(given: str | None) -> _Address:
    """Find the address to serve on; its port is free now. Raises ConfigurationError when a given one is not."""
    if given is not None:
        try:
            split_address(given)
        except ValueError as error:
            raise UsageError([f"--web.listen-address: {error}"]) from None
    usual = WebSettings().listen_address[0]
    note = ""
    try:
        (listener,) = listen([given or usual])
    except ConfigurationError as taken:
        if given is not None:
            raise
        note = f"{taken.faults[0].partition(';')[0]}, so this is any free port"
        (listener,) = listen([f"{usual.rpartition(':')[0]}:0"])
    with listener:
        host = (given or usual).rpartition(":")[0]
        return _Address(f"{host}:{listener.getsockname()[1]}", url_of(listener, "http"), note)


def _start(programs: Programs, folder: Path, where: _Address) -> list[tuple[str, str]]:
    """Start the workflow and the exporter; gives names and URLs of what to look at."""
    (folder / "tmp").mkdir()
    (folder / "exporter.yml").write_text(
        # JSON is YAML. Histograms need not wait long for late rows of a workflow on one machine.
        json.dumps({"close_after": "5s", "sources": [{"path": "runinfo/monitoring.db", "name": "demo"}]})
    )
    programs.start(
        "exporter",
        sys.executable,
        *("-m", "parsl_exporter", "serve", "--config.file", "exporter.yml"),
        *("--web.listen-address", where.address),
    )
    programs.start(
        "workflow",
        sys.executable,
        *("-m", "parsl_exporter.demo.workflow"),
        environment={
            # HTEX starts its programs from PATH.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "TMPDIR": str(folder / "tmp"),
        },
    )
    return [("metrics", f"{where.url}/metrics"), ("state", f"{where.url}/"), ("database", _database(folder))]


def _database(folder: Path) -> str:
    return str(folder / "runinfo" / "monitoring.db")


class _Shown:
    """What the demo shows: where to look, what the run does, and the alerts."""

    def __init__(self, daemon: Daemon, links: _Links, note: str, prometheus: Prometheus | None) -> None:
        self._daemon = daemon
        self._links = links
        self._note = note
        self._prometheus = prometheus
        self._alerts = ""
        self._said: set[str] = set()

    def look(self) -> None:
        """Ask for the alerts."""
        self._alerts = self._prometheus.alerts() if self._prometheus else ""

    def screen(self, title: str) -> RenderableType:
        """All of it, for a terminal."""
        reports = self._daemon.reports()
        runs = board(reports, details=False) if any(one.runs for one in reports) else Text(_NO_RUN)
        alerts = [Text(f"alerts: {self._alerts}")] if self._alerts else []
        return Group(Text(title), *map(Text, self._head()), Text(), runs, *alerts)

    def said(self) -> list[str]:
        """What stands above, as far as it was not said before."""
        new = [text for text in self._head() if text not in self._said]
        self._said.update(new)
        return new

    def lines(self) -> list[str]:
        """What the run does, in lines."""
        alerts = f"; alerts: {self._alerts}" if self._alerts else ""
        reports = [one for one in self._daemon.reports() if one.runs]
        lines = [one.line for one in news(reports).values()] or [_NO_RUN]
        return [f"{line}{alerts}" for line in lines]

    def _head(self) -> list[str]:
        known = self._links + (self._prometheus.links if self._prometheus else [])
        return [f"  {name:<13} {url}" for name, url in known] + ([f"  {self._note}"] if self._note else [])


def _watch(
    programs: Programs, screen: Screen, signals: SimpleQueue[int], shown: _Shown, begin: float, seconds: float
) -> None:
    """Show what goes on until a signal comes or the time is over."""

    def title() -> str:
        return f"parsl-exporter demo: {time.monotonic() - begin:.0f} s, Ctrl-C ends it"

    def looks() -> Iterator[float]:
        """Each second, until it is over, the time."""
        while (now := time.monotonic()) < begin + seconds:
            programs.check()
            shown.look()
            yield now
            with suppress(Empty):
                signals.get(timeout=max(0.0, min(_REFRESH, begin + seconds - time.monotonic())))
                return

    if screen.live:
        with screen.shown(lambda: shown.screen(title())) as refresh:
            for _ in looks():
                refresh()
        return
    _say("parsl-exporter demo; Ctrl-C ends it")
    next_lines = begin
    for now in looks():
        _say(*shown.said())
        if now >= next_lines:
            _say(*(f"{now - begin:4.0f} s  {text}" for text in shown.lines()))
            next_lines += _PLAIN_EVERY
    _say(*(f"  last  {text}" for text in shown.lines()))


def _say(*lines: str) -> None:
    write_out("".join(f"{text}\n" for text in lines))


@contextmanager
def _signals() -> Iterator[SimpleQueue[int]]:
    """Collect the signals that end the demo instead of being ended by them, in the main thread."""
    received: SimpleQueue[int] = SimpleQueue()
    before = {number: signal.signal(number, lambda number, _: received.put(number)) for number in _ENDING}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["demo"]
