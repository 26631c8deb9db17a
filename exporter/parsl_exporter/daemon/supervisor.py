"""The sources that the settings stand for, each read in a thread of its own for as long as it is there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from parsl_exporter.base.logs import RepeatedFault, event
from parsl_exporter.base.shard import Shard
from parsl_exporter.checkpoint.keeper import Keeper
from parsl_exporter.config.settings import Settings, SourceSettings
from parsl_exporter.daemon.conditions import conditions_of, details_of
from parsl_exporter.daemon.discovery import Discovery
from parsl_exporter.model.report import SourceReport
from parsl_exporter.readers.opening import open_reader
from parsl_exporter.readers.targets import Found, distinct
from parsl_exporter.source.checkpoint import Checkpoint, read_under
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.options import SourceOptions, options_of
from parsl_exporter.source.source import Source
from parsl_exporter.web.landing import Condition, RunDetails

_DISCOVER_EVERY = 5.0
_POLLS_A_SECOND = 500
"""Of all sources together; each costs next to nothing where nothing is new, but a wake-up of its thread."""
_RETRY = 60.0

_log = logging.getLogger(__name__)


class _Worker(NamedTuple):
    """A source, the thread that polls it, and how to end that. `how` it is read: else it is another worker's.

    `wake` has it poll at once.
    """

    source: Source
    found: Found
    how: tuple[object, SourceOptions, Shard]
    thread: threading.Thread
    stopping: threading.Event
    wake: threading.Event

    def stop(self) -> None:
        """Have the thread end."""
        self.stopping.set()
        self.wake.set()


class Supervisor:
    """Looks for databases in a thread of its own; starts a worker for each that is new, ends those of others.

    `changed` is set whenever a source may show otherwise. `settings` are in force until `reload` gives others;
    `read_as` has sources read otherwise than these say. With a `keeper` sources have checkpoints.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        baton: Baton,
        clock: Clock,
        changed: threading.Event,
        read_as: Callable[[SourceOptions], SourceOptions],
        keeper: Keeper | None = None,
    ) -> None:
        self.settings = settings
        self._keeper = keeper
        self._read_as = read_as
        self._baton = baton
        self._clock = clock
        self._changed = changed
        self._started = clock.wall()
        self._workers: Mapping[str, _Worker] = {}
        self._first: frozenset[str] | None = None
        self._unmatched: dict[str, float] = {}
        self._clashes: set[tuple[str, str]] = set()
        self._twice: set[tuple[str, str]] = set()
        self._files: dict[str, tuple[int, int]] = {}
        self._discovery = Discovery()
        self._hiring = threading.Lock()
        self._counting = threading.Lock()
        self._series = 0
        self._series_of: dict[Source, int] = {}
        self._polled = threading.Condition()
        self._look = threading.Event()
        self._stop = threading.Event()
        self._faults = RepeatedFault(_log, clock.steady)
        self.thread = threading.Thread(target=self._supervise, name="discoverer", daemon=True)

    def stop(self) -> list[threading.Thread]:
        """Have all threads end, and give them."""
        self._stop.set()
        self._look.set()
        with self._hiring:
            workers = list(self._workers.values())
        for worker in workers:
            worker.stop()
        return [*(worker.thread for worker in workers), self.thread]

    def reload(self, settings: Settings) -> None:
        """Take other settings, in a moment."""
        self.settings = settings
        self._look.set()

    def read_now(self, patience: float) -> None:
        """Have each source read what is there now; wait until all have, or failed, for `patience` seconds at most."""
        begin = self._clock.steady()
        workers = list(self._workers.values())
        for worker in workers:
            worker.wake.set()
        with self._polled:
            self._polled.wait_for(
                lambda: all(worker.source.published.asked >= begin for worker in workers), patience
            )

    def sources(self) -> list[Source]:
        """Give the sources that there are now."""
        return [worker.source for worker in self._workers.values()]

    def untried(self) -> list[Source] | None:
        """Give the sources of the start that have neither caught up nor failed yet; None before those are known."""
        first = self._first
        if first is None:
            return None
        seen = [(name, w.source, w.source.published) for name, w in self._workers.items()]
        return [s for name, s, now in seen if name in first and not (now.ready or now.tried)]

    def reports(self) -> list[SourceReport]:
        """Give each source and its runs, for people."""
        wall = self._clock.wall()
        return [source.published.report(source.name, wall) for source in self.sources()]

    def conditions(self) -> Sequence[Condition]:
        """Give each source's condition, and its runs, for the landing page."""
        return conditions_of(self.reports())

    def run(self, source: str, run_id: str) -> RunDetails | None:
        """Give what there is to show of a run; None when it is not known."""
        worker = self._workers.get(source)
        if worker is None:
            return None
        return details_of(worker.source.published.report(source, self._clock.wall()), run_id)

    # --- which sources there are ----------------------------------------------------------------------------

    def _supervise(self) -> None:
        while not self._stop.is_set():
            self._look.clear()
            settings = self.settings
            try:
                self._staff(settings, *self._wanted(settings))
                self._faults.ended("sources")
            except Exception as error:
                self._faults.failed("sources", f"looking for databases failed: {error}; trying on")
            self._look.wait(_DISCOVER_EVERY)

    def _wanted(self, settings: Settings) -> tuple[dict[str, Found], dict[tuple[int, int], str]]:
        """The databases that the settings stand for now, by name, and the name that each file is read under."""
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
            event(_log, logging.INFO, "one file is named twice: it is read once, as the first",
                  source=first, again=second)  # fmt: skip
        self._twice = twice
        for name, second in sorted(clashes - self._clashes):
            event(_log, logging.WARNING, "two databases of one name: the second is not read; give it another name",
                  source=name, first=wanted[name].shown, second=second)  # fmt: skip
        self._clashes = clashes
        return wanted, {found.file: found.name for found in kept if found.file is not None}

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
        return [
            w.found._replace(file=self._files.get(w.found.name))
            for w in self._workers.values()
            if w.found.settings == configured
        ]

    def _staff(
        self, settings: Settings, wanted: Mapping[str, Found], holders: Mapping[tuple[int, int], str]
    ) -> None:
        """Start and end workers so that they are those of the databases that are wanted."""
        with self._hiring:
            if self._stop.is_set() or settings is not self.settings:
                return
            workers = dict(self._workers)
            try:
                for name, worker in self._workers.items():
                    found_now = wanted.get(name)
                    # Else what it has published would stay beside what another name publishes of the same file.
                    elsewhere = name in self._files and holders.get(self._files[name], name) != name
                    if found_now is None and not elsewhere and not self._gone_for_good(name, worker):
                        continue
                    self._unmatched.pop(name, None)
                    if found_now is None or elsewhere or worker.how != self._how(found_now):
                        worker.stop()
                        del workers[name]
                        self._files.pop(name, None)
                for name, found in wanted.items():
                    if name not in workers:
                        workers[name] = self._hire(found)
                    if found.file is not None:
                        self._files[name] = found.file
            finally:
                self._workers = workers
            if self._first is None:
                self._first = frozenset(workers)
        self._changed.set()

    def _gone_for_good(self, name: str, worker: _Worker) -> bool:
        """Say whether a source that nothing stands for any more is to end: a glob's match may come back."""
        if worker.found.fixed or worker.found.settings not in self.settings.sources:
            return True
        now = self._clock.steady()
        return now - self._unmatched.setdefault(name, now) > self.settings.retention

    def _how(self, found: Found) -> tuple[object, SourceOptions, Shard]:
        options = self._read_as(options_of(self.settings, found.settings, found.name))
        return found.database, options, self.settings.shard

    # --- workers --------------------------------------------------------------------------------------------

    def _hire(self, found: Found) -> _Worker:
        stopping, wake = threading.Event(), threading.Event()
        how = _, options, shard = self._how(found)
        reader = open_reader(found, shard, close_after=self.settings.close_after)
        checkpoint = None
        if self._keeper is not None:
            shaped_by = read_under(reader, options, shard, self.settings.limits.series)
            checkpoint = Checkpoint(self._keeper, found.name, shaped_by, self._clock)
        source = Source(
            reader,
            options,
            baton=self._baton,
            clock=self._clock,
            started=self._started,
            series_left=self._series_left,
            stopping=stopping.is_set,
            checkpoint=checkpoint,
        )
        thread = threading.Thread(
            target=self._work, args=(source, stopping, wake), name=f"source {found.name}", daemon=True
        )
        thread.start()
        return _Worker(source, found, how, thread, stopping, wake)

    def _work(self, source: Source, stopping: threading.Event, wake: threading.Event) -> None:
        while True:
            wake.clear()
            if stopping.is_set():  # which is set before `wake` is
                break
            try:
                again = source.poll()
            except Exception as error:  # not even the failure could be told: no memory, most likely
                again = _RETRY
                self._faults.failed(source, f"polling failed: {error!r}; trying on", source=source.name)
            else:
                self._faults.ended(source, source=source.name)
            self._count_series(source, source.published.series)
            self._changed.set()
            with self._polled:
                self._polled.notify_all()
            wake.wait(again or max(self.settings.poll_interval, len(self._workers) / _POLLS_A_SECOND))
        source.close()
        self._count_series(source, 0)

    def _count_series(self, source: Source, series: int) -> None:
        with self._counting:
            self._series += series - self._series_of.pop(source, 0)
            if series:
                self._series_of[source] = series

    def _series_left(self) -> int:
        return self.settings.limits.series - self._series
