"""A first read in a process of its own.

    python tests/bench/once.py FILE|postgresql+psycopg://...

Prints rows, bytes resident after it and at most, the seconds of its longest read, and the source's condition.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from parsl_exporter.base.process import suit_process

if TYPE_CHECKING:
    from parsl_exporter.config.settings import Settings, SourceSettings
    from parsl_exporter.readers.base import Reader
    from parsl_exporter.source.source import Source

ZONES = {"utc": "UTC", "chicago": "America/Chicago", "tokyo": "Asia/Tokyo"}
"""Submit hosts of runs on a server and their zones."""


def source_of(path: Path) -> Source:
    """A source as `serve` makes it."""
    from parsl_exporter.config.load import Overrides, load
    from parsl_exporter.readers.sqlite.reader import SqliteReader

    settings = load(None, Overrides(databases=(str(path),)))
    return _source(SqliteReader(path), settings, settings.sources[0])


def source_at(url: str) -> Source:
    """A source of a server, whose runs are of `ZONES`."""
    from sqlalchemy.engine import make_url

    from parsl_exporter.config.settings import Settings, SourceSettings
    from parsl_exporter.readers.postgresql.reader import PostgresReader

    settings = Settings(timezone="UTC")
    one = SourceSettings(url, run_timezones=tuple(ZONES.items()))
    return _source(PostgresReader(make_url(url), sweep=15.0), settings, one)


def _source(reader: Reader, settings: Settings, one: SourceSettings) -> Source:
    from parsl_exporter.source.clock import Clock
    from parsl_exporter.source.locks import Baton
    from parsl_exporter.source.options import options_of
    from parsl_exporter.source.source import Source

    return Source(
        reader,
        options_of(settings, one, "s"),
        baton=Baton(),
        clock=Clock(),
        started=time.time(),
        series_left=lambda: settings.limits.series,
    )


def main() -> None:
    suit_process()  # before anything large is imported, as `serve` does
    source = source_at(sys.argv[1]) if "://" in sys.argv[1] else source_of(Path(sys.argv[1]))
    source.poll()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024
    print(source.published.rows, resident, peak, source.read_times.longest, *source.published.outcome)


if __name__ == "__main__":
    main()
