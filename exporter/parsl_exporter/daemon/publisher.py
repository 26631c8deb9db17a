"""Puts the page together when something has changed, and keeps the formats ready that are asked for."""

from __future__ import annotations

import logging
import math
import threading
from functools import partial

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from parsl_exporter.base.formats import Format
from parsl_exporter.base.logs import RepeatedFault
from parsl_exporter.daemon.supervisor import Supervisor
from parsl_exporter.metrics.collected import collected
from parsl_exporter.metrics.family import draw_all
from parsl_exporter.metrics.page import Page
from parsl_exporter.metrics.snapshot import Rendered
from parsl_exporter.metrics.source_families import PROCESS_FAMILIES, ProcessFacts
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.locks import Baton

_WANTED_FOR = 120.0
"""Seconds after its last scrape for which a format of the page is kept ready."""
_PUBLISH_EVERY = 0.5
_SHARE = 0.1
"""The part of the time that may go into putting the page together."""
_PUBLISH_AT_LEAST_EVERY = 15.0

_log = logging.getLogger(__name__)


class Publisher:
    """Holds the page that is published, and makes another in a thread of its own once `changed` is set.

    `facts` are replaced whole. `as_of`: steady seconds at which the page held all that sources had published.
    """

    def __init__(
        self,
        facts: ProcessFacts,
        supervisor: Supervisor,
        *,
        baton: Baton,
        clock: Clock,
        changed: threading.Event,
    ) -> None:
        self.facts = facts
        self._supervisor = supervisor
        self._baton = baton
        self._clock = clock
        self._changed = changed
        self._ready = False
        self._stop = threading.Event()
        self._wanted: dict[tuple[Format, bool], float] = {}
        self._faults = RepeatedFault(_log, clock.steady)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._others = partial(collected, registry)
        self._page = self._put_together()
        self.as_of = -math.inf
        self.thread = threading.Thread(target=self._publish, name="publisher", daemon=True)

    def stop(self) -> None:
        """Have the thread end."""
        self._stop.set()
        self._changed.set()

    def page(self, format: Format, *, names: frozenset[str], gzipped: bool) -> bytes:
        """Give the published page, or of it the families of these sample names."""
        if names:
            return self._page.selection(names, format, gzipped=gzipped)
        self._wanted[format, gzipped] = self._clock.steady()
        return self._page.body(format, gzipped=gzipped)

    def ready(self) -> tuple[bool, str]:
        """Say whether the page holds every source of the start, caught up or failed once; if not, what is missing."""
        if self._ready:
            return True, "ready"
        waiting = self._supervisor.untried()
        if waiting is None:
            return False, "looking for databases"
        if not waiting:
            return False, "putting the page together"
        one = waiting[0]
        return False, f"{len(waiting)} sources not read yet; {one.name}: {one.published.outcome.message}"

    def _publish(self) -> None:
        while not self._stop.is_set():
            self._changed.wait()
            self._changed.clear()
            begin = self._clock.steady()
            all_tried = self._supervisor.untried() == []
            try:
                with self._baton:
                    begin = self._clock.steady()
                    page = self._put_together()
                    for (format, gzipped), last in list(self._wanted.items()):
                        if begin - last < _WANTED_FOR:
                            page.body(format, gzipped=gzipped)
                self._page, self.as_of = page, begin
                self._ready = self._ready or all_tried
                self._faults.ended("page")
            except Exception as error:
                self._faults.failed("page", f"the page could not be made: {error!r}; the last one stays")
            taken = self._clock.steady() - begin
            pause = max(min(self._supervisor.settings.poll_interval / 2, _PUBLISH_EVERY), taken / _SHARE)
            self._stop.wait(min(pause, _PUBLISH_AT_LEAST_EVERY))

    def _put_together(self) -> Page:
        process = Rendered((), draw_all(PROCESS_FAMILIES, self.facts), None)
        snapshots = [source.published.snapshot for source in self._supervisor.sources()]
        return Page(snapshots, process, self._others)
