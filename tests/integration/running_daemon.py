"""The exporter within this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from parsl_exporter.config.settings import Settings
from parsl_exporter.daemon.daemon import Daemon


@contextmanager
def running(settings: Settings) -> Iterator[Daemon]:
    daemon = Daemon(settings)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()
