"""Draws the runs of a source within limits, each again only when it has changed.

Of runs beyond `runs` or `series` the live ones become one run `_other` (`overflow.py`). What such a run counted stays
in `_other` after it has gone. Runs that are over give way to them, the oldest first, and are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from parsl_exporter.metrics.family import draw_all
from parsl_exporter.metrics.overflow import OtherRun
from parsl_exporter.metrics.run_families import RUN_FAMILIES
from parsl_exporter.metrics.run_samples import View
from parsl_exporter.metrics.snapshot import Rendered
from parsl_exporter.model.names import OTHER
from parsl_exporter.model.report import report_of
from parsl_exporter.model.timestamps import MICROSECONDS


class Renderer:
    """Draws the runs of one source, again only when they have changed.

    `overflowed` counts the runs that became part of `_other`; `dropped` are those that are over and gave way the last
    time: they must not come again.
    """

    def __init__(self, source: str, *, runs: int, created: bool = True, classic: bool = True) -> None:
        self._source = source
        self._limit = runs
        self._with_created = created
        self._classic = classic
        self._drawn: dict[str, Rendered] = {}
        self._kept: dict[str, int] = {}
        self._others: set[str] = set()
        self._departed: OtherRun | None = None
        self.overflowed = 0
        self.dropped: list[str] = []

    def kept(self) -> dict[str, Any]:
        """Give what it must know to draw on in another process, beside the runs."""
        return {
            "places": self._kept,
            "others": self._others,
            "departed": self._departed,
            "overflowed": self.overflowed,
        }

    def resume(
        self, places: dict[str, int], others: set[str], departed: OtherRun | None, overflowed: int
    ) -> None:
        """Take what another one has `kept`."""
        self._kept, self._others, self._departed = places, others, departed
        self.overflowed = overflowed

    def runs(self, views: Iterable[View], series: int) -> tuple[Rendered, ...]:
        """Draw what changed (`Run.changed`); `series` bounds how many series the runs may have together."""
        views = list(views)
        own: dict[str, Rendered] = {}
        self.dropped = []
        for view in sorted(views, key=self._rank):
            run_id, over = view.run.run_id, view.run.over
            if run_id in self._others:
                self._draw(view)
            elif len(own) < self._limit and series >= self._draw(view).series:
                own[run_id] = self._drawn[run_id]
                series -= own[run_id].series
            elif over:
                self.dropped.append(run_id)
                self._drawn.pop(run_id, None)
            else:
                self._draw(view)
                self._others.add(run_id)
                self.overflowed += 1
        self._kept = {run_id: place for place, run_id in enumerate(own)}
        self._forget({view.run.run_id for view in views})
        kept = [own[view.run.run_id] for view in views if view.run.run_id in own]
        others = [run_id for view in views if (run_id := view.run.run_id) in self._others]
        if others:
            other = OtherRun() if self._departed is None else self._departed.copy()
            for run_id in others:
                other.add(self._drawn[run_id].samples)
            kept.append(Rendered((self._source, OTHER), other.samples(), None, classic=self._classic))
        else:
            self._departed = None
        return tuple(kept)

    def _rank(self, view: View) -> tuple[bool, int, int, str]:
        """Who is kept first: live runs that were, then other live ones, then those over; of each the newest first."""
        run = view.run
        kept = -1 if run.over else self._kept.get(run.run_id, -1)
        return run.over, kept if kept >= 0 else len(self._kept), -run.first_us, run.run_id

    def _draw(self, view: View) -> Rendered:
        run = view.run
        drawn = self._drawn.get(run.run_id)
        if drawn is None or run.changed:
            samples = draw_all(RUN_FAMILIES, view)
            created = (
                run.info.begin_us / MICROSECONDS if run.info is not None and self._with_created else None
            )
            report = report_of(run, view.groups, view.waiting, view.hidden)
            drawn = self._drawn[run.run_id] = Rendered(
                (self._source, run.run_id), samples, created, classic=self._classic, report=report
            )
        return drawn

    def _forget(self, known: set[str]) -> None:
        for run_id in [r for r in self._drawn if r not in known]:
            drawn = self._drawn.pop(run_id)
            if run_id in self._others:
                self._others.remove(run_id)
                self._departed = self._departed or OtherRun()
                self._departed.add(drawn.samples, counters_only=True)
