"""The daemon: its sources supervised, their page published, and what the web side asks for."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Sequence

from parsl_exporter.base.logs import event
from parsl_exporter.base.release import REVISION, VERSION
from parsl_exporter.config.settings import Settings
from parsl_exporter.daemon.publisher import Publisher
from parsl_exporter.daemon.supervisor import Supervisor
from parsl_exporter.metrics.source_families import ProcessFacts
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.locks import Baton
from parsl_exporter.web import Condition

_PATIENCE_AT_END = 0.5

_log = logging.getLogger(__name__)


class Daemon:
    """Reads all sources and holds the published page. Implements what `web.Site` asks for.

    `settings` are in force until `reload` gives others.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        baton = Baton()
        self._supervisor = Supervisor(settings, baton=baton, clock=self._clock, changed=self._changed)
        self._publisher = Publisher(
            ProcessFacts(
                version=VERSION,
                revision=REVISION,
                pythonversion=platform.python_version(),
                reload_successful=True,
                reload_success_time=self._clock.wall(),
            ),
            snapshots=lambda: [source.published.snapshot for source in self._supervisor.sources()],
            all_tried=lambda: self._supervisor.untried() == [],
            poll_interval=lambda: self._supervisor.settings.poll_interval,
            baton=baton,
            clock=self._clock,
        )

    def _changed(self) -> None:
        self._publisher.changed.set()

    def start(self) -> None:
        """Begin to read."""
        self._publisher.thread.start()
        self._supervisor.thread.start()

    def stop(self) -> None:
        """End all threads, within about half a second; one that hangs in the kernel is left behind."""
        self._publisher.stop()
        until = self._clock.steady() + _PATIENCE_AT_END
        for thread in [*self._supervisor.stop(), self._publisher.thread]:
            thread.join(max(0.0, until - self._clock.steady()))

    def reload(self, read: Callable[[], Settings]) -> None:
        """Take new settings, in a moment; sources that they do not change are read on.

        Raises what `read` raises, and the old settings stay in force then.
        """
        facts = self._publisher.facts._replace(reload_successful=False)
        try:
            settings = read()
            if settings.web != self._supervisor.settings.web:
                event(
                    _log, logging.WARNING, "changes under web take effect when the exporter is started again"
                )
            self._supervisor.reload(settings)
            facts = facts._replace(reload_successful=True, reload_success_time=self._clock.wall())
        finally:
            self._publisher.facts = facts
            self._changed()

    # --- what the web side asks for -------------------------------------------------------------------------

    def page(self, *, openmetrics: bool, names: frozenset[str], gzipped: bool) -> bytes:
        """Give the published page, or of it the families of these sample names."""
        return self._publisher.page(openmetrics=openmetrics, names=names, gzipped=gzipped)

    def ready(self) -> tuple[bool, str]:
        """Say whether the page holds every source of the start, caught up or failed once; if not, what is missing."""
        if self._publisher.ready:
            return True, "ready"
        waiting = self._supervisor.untried()
        if waiting is None:
            return False, "looking for databases"
        if not waiting:
            return False, "putting the page together"
        one = waiting[0]
        return False, f"{len(waiting)} sources not read yet; {one.name}: {one.published.outcome.message}"

    def conditions(self) -> Sequence[Condition]:
        """Give each source's condition for the landing page."""
        seen = [(source.name, source.published) for source in self._supervisor.sources()]
        return [Condition(name, *published.outcome, f"{published.rows:,}") for name, published in seen]
