"""The daemon: its sources supervised, their page published, and what the web side asks for."""

from __future__ import annotations

import logging
import platform
import threading
from collections.abc import Callable
from pathlib import Path

from parsl_exporter.base.formats import Format
from parsl_exporter.base.logs import event
from parsl_exporter.base.release import REVISION, VERSION
from parsl_exporter.checkpoint.keeper import Keeper
from parsl_exporter.config.settings import Settings
from parsl_exporter.daemon.conditions import summary_of
from parsl_exporter.daemon.publisher import Publisher
from parsl_exporter.daemon.supervisor import Supervisor
from parsl_exporter.metrics.page import Page
from parsl_exporter.metrics.source_families import ProcessFacts
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.options import SourceOptions

_PATIENCE_AT_END = 0.5

_log = logging.getLogger(__name__)


class Daemon:
    """Reads all sources and holds the published page. Implements what `web.app.Site` asks for.

    `settings` are in force until `reload` gives others; `read_as` has sources read otherwise than these say. With a
    `state_directory` sources go on from checkpoints there.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        read_as: Callable[[SourceOptions], SourceOptions] = lambda options: options,
        state_directory: Path | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._keeper = (
            None
            if state_directory is None
            else Keeper(state_directory, steady=self._clock.steady, wall=self._clock.wall)
        )
        self._changed = threading.Event()
        self._baton = Baton()
        self._supervisor = Supervisor(
            settings,
            baton=self._baton,
            clock=self._clock,
            changed=self._changed,
            read_as=read_as,
            keeper=self._keeper,
        )
        facts = ProcessFacts(
            version=VERSION,
            revision=REVISION,
            pythonversion=platform.python_version(),
            reload_successful=True,
            reload_success_time=self._clock.wall(),
        )
        self._publisher = Publisher(
            facts, self._supervisor, baton=self._baton, clock=self._clock, changed=self._changed
        )
        self.page = self._publisher.page
        self.ready = self._publisher.ready
        self.conditions = self._supervisor.conditions
        self.run = self._supervisor.run
        self.reports = self._supervisor.reports
        self.read_now = self._supervisor.read_now

    def start(self) -> None:
        """Begin to read."""
        self._publisher.thread.start()
        self._supervisor.thread.start()

    def stop(self) -> None:
        """End all threads, within about a second; one that hangs in the kernel is left behind."""
        self._publisher.stop()
        until = self._clock.steady() + _PATIENCE_AT_END
        for thread in [*self._supervisor.stop(), self._publisher.thread]:
            thread.join(max(0.0, until - self._clock.steady()))
        if self._keeper is not None:
            self._keeper.stop(_PATIENCE_AT_END)

    def summary(self) -> str:
        """Give in one line how the sources fare, and whether the configuration is the one that was last read."""
        taken = self._publisher.facts.reload_successful
        sources = [(source.name, source.published.outcome) for source in self._supervisor.sources()]
        return (
            summary_of(sources)
            if taken
            else f"configuration not taken, the old one stays; {summary_of(sources)}"
        )

    def shows(self, since: float) -> bool:
        """Say whether the page has all that sources had published at `since`, by the steady clock."""
        return self._publisher.as_of >= since

    def bodies(self, format: Format) -> dict[str, bytes]:
        """Give what each source publishes, by its name, without the process's own families.

        A source is not among them before it has caught up or failed once.
        """
        bodies = {}
        for source in self._supervisor.sources():
            published = source.published
            if published.tried or published.ready:
                with self._baton:
                    bodies[source.name] = Page([published.snapshot]).body(format)
        return bodies

    def reload(self, read: Callable[[], Settings]) -> None:
        """Take new settings, in a moment; sources that they do not change are read on.

        Raises what `read` raises, and the old settings stay in force then.
        """
        facts = self._publisher.facts._replace(reload_successful=False)
        try:
            settings = read()
            before = self._supervisor.settings
            if (settings.web, settings.state_directory) != (before.web, before.state_directory):
                event(
                    _log,
                    logging.WARNING,
                    "changes under web and of state_directory take effect when the exporter is started again",
                )
            self._supervisor.reload(settings)
            facts = facts._replace(reload_successful=True, reload_success_time=self._clock.wall())
        finally:
            self._publisher.facts = facts
            self._changed.set()
