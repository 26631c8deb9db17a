"""The daemon: a thread for each source, one that puts the page together, and what the web side asks for."""

from __future__ import annotations

import logging
import platform
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest as write_text
from prometheus_client.openmetrics.exposition import generate_latest as write_openmetrics

from parsl_exporter.base.logs import RepeatedFault, event
from parsl_exporter.base.release import REVISION, VERSION
from parsl_exporter.base.shard import Shard
from parsl_exporter.config.settings import Settings, SourceSettings
from parsl_exporter.daemon.discovery import Discovery
from parsl_exporter.metrics.page import Page
from parsl_exporter.metrics.snapshot import Rendered
from parsl_exporter.metrics.source_families import PROCESS_FAMILIES, ProcessFacts
from parsl_exporter.readers.opening import open_reader
from parsl_exporter.readers.targets import Found, distinct
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.options import SourceOptions, options_of
from parsl_exporter.source.source import Source
from parsl_exporter.web import Condition

_DISCOVER_EVERY = 5.0
_POLLS_A_SECOND = 500
"""Of all sources together; each costs next to nothing where nothing is new, but a wake-up of its thread."""
_WANTED_FOR = 120.0
"""Seconds after its last scrape for which a format of the page is kept ready."""
_PUBLISH_EVERY = 0.5
_PUBLISHING_SHARE = 0.1
"""The part of the time that may go into putting the page together."""
_PUBLISH_AT_LEAST_EVERY = 15.0
_PATIENCE_AT_END = 0.5
_RETRY = 60.0

_log = logging.getLogger(__name__)


class _Worker(NamedTuple):
    """A source, the thread that polls it, and how to end that."""

    source: Source
    found: Found
    options: SourceOptions
    shard: Shard
    thread: threading.Thread
    stop: threading.Event


class Daemon:
    """Reads all sources and holds the published page. Implements what `web.Site` asks for.

    `settings` are in force until `reload` gives others.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or Clock()
        self._started = self._clock.wall()
        self._baton = Baton()
        self._workers: dict[str, _Worker] = {}
        self._unmatched: dict[str, float] = {}
        self._clashes: set[tuple[str, str]] = set()
        self._twice: set[tuple[str, str]] = set()
        self._files: dict[str, tuple[int, int]] = {}
        self._discovery = Discovery()
        self._first: frozenset[str] | None = None
        self._ready = False
        self._changing = threading.Lock()
        self._counting = threading.Lock()
        self._series = 0
        self._series_of: dict[Source, int] = {}
        self._dirty = threading.Event()
        self._discover_now = threading.Event()
        self._stop = threading.Event()
        self._reload_successful = True
        self._reload_time = self._started
        self._wanted: dict[tuple[bool, bool], float] = {}
        self._faults = RepeatedFault(_log, self._clock.steady)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._others = registry
        self._page = self._put_together()
        self._publisher = threading.Thread(target=self._publish, name="publisher", daemon=True)
        self._discoverer = threading.Thread(target=self._discover, name="discoverer", daemon=True)

    # --- running --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read."""
        self._publisher.start()
        self._discoverer.start()

    def stop(self) -> None:
        """End all threads, within about half a second; one that hangs in the kernel is left behind."""
        self._stop.set()
        self._dirty.set()
        self._discover_now.set()
        with self._changing:
            workers = list(self._workers.values())
        for worker in workers:
            worker.stop.set()
        until = self._clock.steady() + _PATIENCE_AT_END
        for thread in [*(w.thread for w in workers), self._publisher, self._discoverer]:
            thread.join(max(0.0, until - self._clock.steady()))

    def reload(self, read: Callable[[], Settings]) -> None:
        """Take new settings, in a moment; sources that they do not change are read on.

        Raises what `read` raises, and the old settings stay in force then.
        """
        try:
            settings = read()
        except BaseException:
            self._reload_successful = False
            self._dirty.set()
            raise
        if settings.web != self._settings.web:
            event(_log, logging.WARNING, "changes under web take effect when the exporter is started again")
        self._settings = settings
        self._reload_successful = True
        self._reload_time = self._clock.wall()
        self._discover_now.set()
        self._dirty.set()

    def _discover(self) -> None:
        while not self._stop.is_set():
            self._discover_now.clear()
            try:
                self._match_sources(self._settings)
                self._faults.ended("sources")
            except Exception as error:
                self._faults.failed("sources", f"looking for databases failed: {error}; trying on")
            self._discover_now.wait(_DISCOVER_EVERY)

    def _match_sources(self, settings: Settings) -> None:
        """Start and end workers so that they are those of the databases that the settings stand for now."""
        wanted: dict[str, Found] = {}
        clashes: set[tuple[str, str]] = set()
        answers = self._discovery.found(settings.sources)
        kept, again = distinct(
            one
            for configured in settings.sources
            for one in self._answer(configured, answers.get(configured))
        )
        for found in kept:
            if isinstance(found.database, Path) and not settings.shard.holds(found.name):
                continue
            other = wanted.setdefault(found.name, found)
            if other.database != found.database:
                clashes.add((found.name, found.shown))
        twice = {(one.first.name, one.found.name) for one in again if one.first is wanted.get(one.first.name)}
        for first, second in sorted(twice - self._twice):
            event(
                _log,
                logging.INFO,
                "one file is named twice: it is read once, as the first",
                source=first,
                again=second,
            )
        self._twice = twice
        for name, second in sorted(clashes - self._clashes):
            event(_log, logging.WARNING, "two databases of one name: the second is not read; give it another name",
                  source=name, first=wanted[name].shown, second=second)  # fmt: skip
        self._clashes = clashes
        with self._changing:
            if self._stop.is_set() or settings is not self._settings:
                return
            holders = {found.file: found.name for found in kept if found.file is not None}
            for name, worker in list(self._workers.items()):
                found_now = wanted.get(name)
                # Else what it has published would stay beside what another name publishes of the same file.
                elsewhere = name in self._files and holders.get(self._files[name], name) != name
                if found_now is None and not elsewhere and not self._gone_for_good(name, worker):
                    continue
                self._unmatched.pop(name, None)
                if found_now is None or elsewhere or not self._same(worker, found_now):
                    worker.stop.set()
                    del self._workers[name]
                    self._files.pop(name, None)
            for name, found in wanted.items():
                if name not in self._workers:
                    self._workers[name] = self._hire(found)
                if found.file is not None:
                    self._files[name] = found.file
            if self._first is None:
                self._first = frozenset(self._workers)
        self._dirty.set()

    def _answer(self, configured: SourceSettings, found: Sequence[Found] | None) -> Sequence[Found]:
        """The databases of a configured source: while looking for them hangs, those that it had."""
        fault = ("discovery", configured)
        if found is not None:
            self._faults.ended(fault, target=configured.target)
            return found
        self._faults.failed(
            fault,
            "looking for databases hangs (is its file system gone?); the other sources are read on",
            target=configured.target,
        )
        with self._changing:
            return [
                w.found._replace(file=self._files.get(w.found.name))
                for w in self._workers.values()
                if w.found.settings == configured
            ]

    def _gone_for_good(self, name: str, worker: _Worker) -> bool:
        """Say whether a source that nothing stands for any more is to end: a glob's match may come back."""
        if worker.found.fixed or worker.found.settings not in self._settings.sources:
            return True
        now = self._clock.steady()
        return now - self._unmatched.setdefault(name, now) > self._settings.retention

    def _same(self, worker: _Worker, found: Found) -> bool:
        options = options_of(self._settings, found.settings, found.name)
        return (worker.found.database, worker.options, worker.shard) == (
            found.database,
            options,
            self._settings.shard,
        )

    def _hire(self, found: Found) -> _Worker:
        stop = threading.Event()
        options = options_of(self._settings, found.settings, found.name)
        shard = self._settings.shard
        source = Source(
            open_reader(found, shard, close_after=self._settings.close_after),
            options,
            baton=self._baton,
            clock=self._clock,
            started=self._started,
            series_left=self._series_left,
            stopping=stop.is_set,
        )
        thread = threading.Thread(
            target=self._work, args=(source, stop), name=f"source {found.name}", daemon=True
        )
        thread.start()
        return _Worker(source, found, options, shard, thread, stop)

    def _work(self, source: Source, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                again = source.poll()
            except Exception as error:  # not even the failure could be told: no memory, most likely
                again = _RETRY
                self._faults.failed(source, f"polling failed: {error!r}; trying on", source=source.name)
            else:
                self._faults.ended(source, source=source.name)
            self._count_series(source, source.series)
            self._dirty.set()
            stop.wait(again or max(self._settings.poll_interval, len(self._workers) / _POLLS_A_SECOND))
        source.close()
        self._count_series(source, 0)

    def _count_series(self, source: Source, series: int) -> None:
        with self._counting:
            self._series += series - self._series_of.pop(source, 0)
            if series:
                self._series_of[source] = series

    def _series_left(self) -> int:
        return self._settings.limits.series - self._series

    # --- publishing -----------------------------------------------------------------------------------------

    def _publish(self) -> None:
        while not self._stop.is_set():
            self._dirty.wait()
            self._dirty.clear()
            begin = self._clock.steady()
            all_tried = self._untried() == []
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
            pause = max(min(self._settings.poll_interval / 2, _PUBLISH_EVERY), taken / _PUBLISHING_SHARE)
            self._stop.wait(min(pause, _PUBLISH_AT_LEAST_EVERY))

    def _put_together(self) -> Page:
        facts = ProcessFacts(
            version=VERSION,
            revision=REVISION,
            pythonversion=platform.python_version(),
            reload_successful=self._reload_successful,
            reload_success_time=self._reload_time,
        )
        process = Rendered((), [list(family.draw(facts)) for family in PROCESS_FAMILIES], None)
        return Page([w.source.snapshot for w in list(self._workers.values())], process, self._others_text)

    def _others_text(self, openmetrics: bool) -> bytes:
        if not openmetrics:
            return bytes(write_text(self._others))
        page: bytes = write_openmetrics(self._others)  # type: ignore[no-untyped-call]  # as it ships
        return page.removesuffix(b"# EOF\n")

    # --- what the web side asks for -------------------------------------------------------------------------

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
        waiting = self._untried()
        if waiting is None:
            return False, "looking for databases"
        if not waiting:
            return False, "putting the page together"
        one = waiting[0]
        return False, f"{len(waiting)} sources not read yet; {one.name}: {one.condition.message}"

    def _untried(self) -> list[Source] | None:
        """The sources of the start that have neither caught up nor failed yet; None before those are known."""
        with self._changing:
            first = self._first
            if first is None:
                return None
            return [w.source for n, w in self._workers.items() if n in first and not _tried(w.source)]

    def conditions(self) -> Sequence[Condition]:
        """Give each source's condition for the landing page."""
        with self._changing:
            sources = [w.source for w in self._workers.values()]
        return [Condition(s.name, s.condition.state, s.condition.message, f"{s.rows:,}") for s in sources]


def _tried(source: Source) -> bool:
    return source.ready or source.attempted
