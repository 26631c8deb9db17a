"""What is shown of the runs of a source: drawn anew when they have changed, not so often that it costs much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from parsl_exporter.metrics.renderer import Renderer
from parsl_exporter.metrics.run_samples import DrawnGroups, View
from parsl_exporter.metrics.snapshot import Rendered
from parsl_exporter.model.runs import Runs
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.options import SourceOptions

_SHARE = 0.1
"""The part of the time that may go into drawing."""


class Showing:
    """The runs of one source as they were last drawn, in `runs`.

    `overflowed` counts the runs that a limit left no room for, of all readings of the source.
    """

    def __init__(self, options: SourceOptions, clock: Clock, baton: Baton) -> None:
        self.runs: tuple[Rendered, ...] = ()
        self._options = options
        self._clock = clock
        self._baton = baton
        self._retention = math.inf if options.whole else options.limits.retention
        self._overflowed_before = 0
        self._stale_at = math.inf
        self._next = 0.0
        self._begin()

    def kept(self) -> dict[str, Any]:
        """Give which runs have which place within the limits, not a copy."""
        return {"overflowed_before": self._overflowed_before, "renderer": self._renderer.kept()}

    def resume(self, kept: Mapping[str, Any]) -> None:
        """Go on from what another one has `kept`, before anything is drawn."""
        self._overflowed_before = kept["overflowed_before"]
        self._renderer.resume(**kept["renderer"])

    @property
    def series(self) -> int:
        """The number of series of the runs."""
        return sum(rendered.series for rendered in self.runs)

    @property
    def overflowed(self) -> int:
        """The number of runs that became part of `_other`."""
        return self._overflowed_before + self._renderer.overflowed

    @property
    def dropped(self) -> int:
        """The number of runs that are over and gave way the last time."""
        return len(self._renderer.dropped)

    def _begin(self) -> None:
        options = self._options
        self._renderer = Renderer(
            options.name, runs=options.runs, created=options.created, classic=options.classic
        )
        self._drawn_groups: DrawnGroups = WeakKeyDictionary()
        self._drawn = False

    def begin_anew(self) -> None:
        """The source is read anew: what was drawn stays for the retention time, or until that is done."""
        self._overflowed_before += self._renderer.overflowed
        self._stale_at = self._clock.steady() + self._options.limits.retention
        self._begin()

    def outdate(self, now: float) -> None:
        """Let go of what was drawn before the source was read anew, when its time is over."""
        if now > self._stale_at:
            self.runs = ()

    def draw(self, runs: Runs, now: float, series_left: int) -> bool:
        """Draw these runs, if it is time and they show otherwise; say whether they were drawn.

        Those beside them may have `series_left` series more.
        """
        if now < self._next or (self._drawn and not runs.shows_otherwise(now)):
            return False
        begin = self._clock.steady()
        with self._baton:
            if not self._options.whole:
                runs.expire(now)
            chosen = runs.to_show(now, self._clock.wall(), self._retention)
            gone_before = now - self._retention
            views = [View(run, self._options.hidden, gone_before, self._drawn_groups) for run in chosen]
            self.runs = self._renderer.runs(views, series_left + self.series)
            runs.shown(chosen, self._renderer.dropped)
        self._drawn = True
        self._next = now + (self._clock.steady() - begin) / _SHARE
        return True
