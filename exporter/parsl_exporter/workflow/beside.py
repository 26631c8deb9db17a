"""What the exporter beside a workflow does: it serves until the workflow says so, or is gone, however that died."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import sys
import time
from collections import deque
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from parsl_exporter.base import logs
from parsl_exporter.base.errors import ConfigurationError, ExporterError
from parsl_exporter.base.formats import Format
from parsl_exporter.base.release import VERSION
from parsl_exporter.base.signals import Signals
from parsl_exporter.config.load import Overrides, Settings, load
from parsl_exporter.daemon.daemon import Daemon
from parsl_exporter.readers.targets import configured, discover
from parsl_exporter.web.server import Server

_ORDERS = 0
"""The descriptor of standard input."""
_LOOK_EVERY = 1.0
"""Seconds between looks whether the workflow is still there."""
_LATE = 2.0
"""Seconds that a scrape may be later than it was expected."""
_LAST_READ = 5.0
_REMEMBERED = 5

_log = logging.getLogger(__name__)


class Order(NamedTuple):
    """What the workflow wants; `parent` is its process."""

    parent: int
    database: str
    address: str
    linger: float
    config_file: str | None


class _Seen:
    """The daemon as a site (`web.app.Site`), with the times at which it was scraped."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.scrapes: deque[float] = deque(maxlen=_REMEMBERED)
        self.last_rows_since = float("inf")
        self.last_rows_seen = False
        self.ready, self.conditions, self.run = daemon.ready, daemon.conditions, daemon.run

    def page(self, format: Format, *, names: frozenset[str], gzipped: bool) -> bytes:
        """Give the page, and note who has seen what."""
        # Asked first: a page that is published in between has no less.
        shows_all = self._daemon.shows(self.last_rows_since)
        page = self._daemon.page(format, names=names, gzipped=gzipped)
        self.scrapes.append(time.monotonic())
        self.last_rows_seen = self.last_rows_seen or shows_all
        return page

    def next_scrape(self) -> float:
        """Give when to expect the next one; never: -inf, as after a single one, which a person may have asked for."""
        times = list(self.scrapes)
        gaps = [later - earlier for earlier, later in pairwise(times)]
        return times[-1] + max(gaps) if gaps else float("-inf")


def serve_beside(signals: Signals) -> int:
    """Serve as the first line of standard input says; gives 0, or 1 for a fault, which is logged."""
    logs.configure("info", "json", sys.stderr)
    with os.fdopen(_ORDERS, "rb", buffering=0, closefd=False) as orders:
        line = orders.readline()
    if not line.endswith(b"\n"):
        return 0  # the workflow has gone already
    order = Order(**json.loads(line))
    try:
        settings = _settings(order)
        daemon = Daemon(settings)
        seen = _Seen(daemon)
        web = settings.web
        server = Server(
            seen,
            addresses=web.listen_address,
            telemetry_path=web.telemetry_path,
            version=VERSION,
            config_file=None if web.config_file is None else Path(web.config_file),
        )
        (url, *_) = server.start()
    except ExporterError as error:
        faults = error.faults if isinstance(error, ConfigurationError) else (str(error),)
        logs.event(_log, logging.ERROR, "; ".join(faults))
        return 1
    logs.event(_log, logging.INFO, "listening", url=url)
    daemon.start()
    try:
        if _finished(order, signals):
            _let_the_end_be_seen(order, signals, daemon, seen)
    finally:
        server.stop()
        daemon.stop()
    return 0


def _settings(order: Order) -> Settings:
    config_file = None if order.config_file is None else Path(order.config_file)
    settings = load(config_file, Overrides((order.database,), (order.address,)))
    if config_file is None:
        return settings
    of_file = load(config_file, Overrides()).sources
    sources = [
        replace(own, target=one.target)
        for source in settings.sources
        for one in discover(source)
        if (own := configured(of_file, one)) is not None
    ]
    return replace(settings, sources=tuple(sources) or settings.sources)


def _finished(order: Order, signals: Signals) -> bool:
    """Wait until the workflow says that it is done; False when it is gone, or SIGTERM has come.

    That it is gone shows by this process's parent being another: processes that the workflow has forked may hold the
    other end of standard input open. Ctrl-C and a terminal that is closed are for the workflow to end by.
    """
    while not _gone(order):
        if signal.SIGTERM in signals.wait(_LOOK_EVERY, also=[_ORDERS]):
            return False
        if select.select([_ORDERS], [], [], 0)[0]:
            return bool(os.read(_ORDERS, 100))
    return False


def _gone(order: Order) -> bool:
    return os.getppid() != order.parent


def _let_the_end_be_seen(order: Order, signals: Signals, daemon: Daemon, seen: _Seen) -> None:
    """Have the last rows read, and wait for a scrape that brings them, if one is to be expected in time."""
    begin = time.monotonic()
    until = seen.next_scrape() + _LATE
    if not begin < until < begin + order.linger + _LATE:
        return
    daemon.read_now(min(_LAST_READ, order.linger))
    seen.last_rows_since = time.monotonic()
    while not (seen.last_rows_seen or _gone(order) or time.monotonic() > until):
        if signal.SIGTERM in signals.wait(0.05):
            return
        # A scrape that came before the page had all leaves it to the next.
        until = min(begin + order.linger, seen.next_scrape() + _LATE)
