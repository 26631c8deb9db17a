"""`--interval`: what is new goes to a file or a Pushgateway every so often, until a signal comes."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from parsl_exporter.base.errors import ExporterError
from parsl_exporter.base.formats import Format
from parsl_exporter.base.logs import RepeatedFault, event
from parsl_exporter.base.signals import Signals
from parsl_exporter.cli.dump import write
from parsl_exporter.config.settings import Settings
from parsl_exporter.daemon.daemon import Daemon
from parsl_exporter.source.options import SourceOptions

_LOOK = 0.1
"""Seconds between looks whether the first reads are done."""
_LAST_READ = 1.5
"""Seconds that the last read may take."""

_log = logging.getLogger(__name__)


def keep(
    settings: Settings,
    signals: Signals,
    interval: float,
    put: Callable[[Mapping[str, bytes]], None],
    *,
    format: Format = Format.TEXT,
    read_as: Callable[[SourceOptions], SourceOptions] = lambda options: options,
) -> None:
    """Call `put` with what each source publishes, by name: once all are read, every `interval` seconds, and at the end.

    A source that was not read yet is left out, one that cannot be read says so; of none that is left, after there were
    some, `put` is told, too. What `put` raises as ExporterError is
    logged when it begins and when it ends, and tried again the next time.
    """
    daemon = Daemon(settings, read_as=read_as)
    daemon.start()
    faults = RepeatedFault(_log)
    begun = False

    def attempt() -> None:
        nonlocal begun
        bodies = daemon.bodies(format)
        begun = begun or bool(bodies)
        if not begun:
            return
        try:
            put(bodies)
        except ExporterError as error:
            faults.failed("put", str(error))
        else:
            faults.ended("put")

    first = time.monotonic() + interval
    waiting = True
    passed_over = frozenset({signal.SIGHUP} if signals.hangup_ignored else ())
    try:
        while not (received := signals.wait(_LOOK if waiting else interval) - passed_over):
            waiting = waiting and not daemon.ready()[0] and time.monotonic() < first
            if not waiting:
                attempt()
        event(_log, logging.INFO, "ending", signal=max(received).name)
        daemon.read_now(_LAST_READ)
        attempt()
    finally:
        daemon.stop()


def file_of(output: Path) -> Callable[[Mapping[str, bytes]], None]:
    """Give what replaces a file by the bodies of sources."""
    return lambda bodies: write(b"".join(bodies.values()), output)
