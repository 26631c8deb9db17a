"""Puts the page together when something has changed, and keeps the formats ready that are asked for."""

from __future__ import annotations

import logging
import threading

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest as write_text
from prometheus_client.openmetrics.exposition import generate_latest as write_openmetrics

from parsl_exporter.base.logs import RepeatedFault
from parsl_exporter.daemon.supervisor import Supervisor
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

    `facts` are replaced whole.
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
        self._wanted: dict[tuple[bool, bool], float] = {}
        self._faults = RepeatedFault(_log, clock.steady)
        self._others = CollectorRegistry()
        ProcessCollector(registry=self._others)
        PlatformCollector(registry=self._others)
        self._page = self._put_together()
        self.thread = threading.Thread(target=self._publish, name="publisher", daemon=True)

    def stop(self) -> None:
        """Have the thread end."""
        self._stop.set()
        self._changed.set()

    def page(self, *, openmetrics: bool, names: frozenset[str], gzipped: bool) -> bytes:
        """Give the published page, or of it the families of these sample names."""
        if names:
            return self._page.selection(names, openmetrics=openmetrics, gzipped=gzipped)
        self._wanted[openmetrics, gzipped] = self._clock.steady()
        return self._page.body(openmetrics=openmetrics, gzipped=gzipped)

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
                    for (openmetrics, gzipped), last in list(self._wanted.items()):
                        if begin - last < _WANTED_FOR:
                            page.body(openmetrics=openmetrics, gzipped=gzipped)
                self._page = page
                self._ready = self._ready or all_tried
                self._faults.ended("page")
            except Exception as error:
                self._faults.failed("page", f"the page could not be made: {error!r}; the last one stays")
            taken = self._clock.steady() - begin
            pause = max(min(self._supervisor.settings.poll_interval / 2, _PUBLISH_EVERY), taken / _SHARE)
            self._stop.wait(min(pause, _PUBLISH_AT_LEAST_EVERY))

    def _put_together(self) -> Page:
        process = Rendered((), [list(family.draw(self.facts)) for family in PROCESS_FAMILIES], None)
        snapshots = [source.published.snapshot for source in self._supervisor.sources()]
        return Page(snapshots, process, self._others_text)

    def _others_text(self, openmetrics: bool) -> bytes:
        if not openmetrics:
            return bytes(write_text(self._others))
        page: bytes = write_openmetrics(self._others)  # type: ignore[no-untyped-call]  # as it ships
        return page.removesuffix(b"# EOF\n")
