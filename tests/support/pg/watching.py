"""A source polled by the test itself, its page as values."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url

from parsl_exporter.base.formats import Format
from parsl_exporter.base.shard import WHOLE, Shard
from parsl_exporter.checkpoint.keeper import Keeper
from parsl_exporter.config.settings import Settings, SourceSettings
from parsl_exporter.metrics.page import Page
from parsl_exporter.readers.postgresql.reader import PostgresReader
from parsl_exporter.source.checkpoint import Checkpoint, read_under
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.options import options_of
from parsl_exporter.source.source import Source
from support.oracle import differences, parse
from support.pg import tables
from support.pg.server import Server
from support.source_harness import truth

SWEEP = 1.0
FOREVER = 10.0**9
_COUNTER = re.compile(r"^(parsl_(?!exporter_)\w+_total{.*}) (\S+)$", re.MULTILINE)


class Watch:
    """One source on one database, and what its page said so far. As a context it lets its connection go at the end."""

    def __init__(
        self,
        url: str,
        shard: Shard = WHOLE,
        sweep: float = SWEEP,
        baton: Baton | None = None,
        retention: float = FOREVER,
        close_after: float = 6.0,
        monotonic: Callable[[], float] = time.monotonic,
        keeper: Keeper | None = None,
    ) -> None:
        # Longer than any stall of these tests, so that no row comes after its try was closed.
        self.close_after = close_after
        settings = Settings(
            timezone="UTC", close_after=self.close_after, retention=retention, abandon_after=FOREVER
        )
        self.reader = PostgresReader(make_url(url), shard=shard, sweep=sweep, monotonic=monotonic)
        options = options_of(settings, SourceSettings(url), "s")
        checkpoint = None
        if keeper is not None:
            checkpoint = Checkpoint(keeper, "s", read_under(self.reader, options, shard, 1 << 60), Clock())
        self.source = Source(
            self.reader,
            options,
            baton=baton or Baton(),
            clock=Clock(),
            started=time.time(),
            series_left=lambda: 1 << 60,
            checkpoint=checkpoint,
        )
        self.falls: list[str] = []
        self._counters: dict[str, float] = {}

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()

    def after(self, before: Watch) -> Watch:
        """Note, too, what fell since another one's last poll."""
        self.falls, self._counters = before.falls, before._counters
        return self

    def poll(self) -> str:
        """Poll once; note every counter that fell or went."""
        self.source.poll()
        page = Page([self.source.published.snapshot]).body(Format.TEXT).decode()
        now = {name: float(value) for name, value in _COUNTER.findall(page)}
        for name, before in self._counters.items():
            if now.get(name, 0.0) < before - 1e-9:
                self.falls.append(f"{name}: {before} -> {now.get(name)}")
        self._counters = now
        return page

    def wait(self, until: Callable[[], bool], seconds: float = 30.0) -> None:
        """Poll until something is so."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"still: {self.condition}"
            self.poll()
            time.sleep(0.02)

    @contextmanager
    def polled_elsewhere(self) -> Iterator[None]:
        """Within, another thread polls."""
        stop = threading.Event()

        def poll() -> None:
            while not stop.wait(0.05):
                self.source.poll()

        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)

    @property
    def condition(self) -> str:
        """What a person is told."""
        return " ".join(self.source.published.outcome)

    @property
    def up(self) -> bool:
        """Whether the last poll succeeded."""
        return self.source.published.outcome.state == "up"


def settle(watch: Watch, server: Server, database: str, scratch: Path, seconds: float) -> list[str]:
    """Poll until the page equals the oracle's, for some seconds at most; give what still differs."""
    tables.twin(server, database, scratch)
    wanted = truth(scratch)
    end = time.monotonic() + seconds
    while True:
        left = differences(wanted, parse(watch.poll()))
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)
