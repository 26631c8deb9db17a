"""A source's share of the page: what is drawn of its runs, kept until a run changes, within limits.

Of runs beyond `runs` or `series` the live ones are folded: their samples become one run `_other` of one app `_other`,
summed, or the greatest or least as each family says. What a folded run counted stays in `_other` after it has gone.
Runs that are over give way to them, the oldest first, and are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from parsl_exporter.metrics.exposition import lines
from parsl_exporter.metrics.family import Distribution, Family, Fold, Sample, Value
from parsl_exporter.metrics.run_families import RUN_FAMILIES
from parsl_exporter.metrics.run_samples import View
from parsl_exporter.metrics.source_families import SOURCE_FAMILIES, SourceFacts
from parsl_exporter.model.names import OTHER
from parsl_exporter.model.timestamps import MICROSECONDS

_FOLDED_LABELS = frozenset({"app", "executor"})


class Drawn:
    """The samples of one run, by family, and their text by format, written when first asked for."""

    __slots__ = ("_created", "_shared", "_texts", "samples", "series")

    def __init__(
        self, shared: tuple[str, ...], samples: Sequence[Sequence[Sample]], created: float | None
    ) -> None:
        self.samples = samples
        self.series = sum(_series(value) for of_family in samples for _, value in of_family)
        self._shared = shared
        self._created = created
        self._texts: dict[bool, list[str]] = {}

    def texts(self, families: Sequence[Family[Any]], *, openmetrics: bool) -> list[str]:
        """The sample lines of each family, in the catalogue's order."""
        texts = self._texts.get(openmetrics)
        if texts is None:
            texts = self._texts[openmetrics] = [
                lines(family, self._shared, samples, openmetrics=openmetrics, created=self._created)
                for family, samples in zip(families, self.samples, strict=True)
            ]
        return texts


class Share:
    """What one source publishes: its runs, and itself as `facts` have it. Both are written when first asked for.

    `started` (UTC epoch seconds) is since when the source's own counters count; None: they are not to say so.
    """

    def __init__(
        self, source: str, runs: tuple[Drawn, ...], facts: SourceFacts, started: float | None
    ) -> None:
        self.runs = runs
        self._source = source
        self._facts = facts
        self._started = started

    @cached_property
    def itself(self) -> Drawn:
        """The source's own families."""
        samples = [list(family.draw(self._facts)) for family in SOURCE_FAMILIES]
        return Drawn((self._source,), samples, self._started)


class Drawing:
    """Draws the runs of one source, again only when they have changed.

    `folds` counts the runs that were folded; `dropped` are those that are over and gave way in the last drawing:
    they must not come again.
    """

    def __init__(self, source: str, *, runs: int, created: bool = True) -> None:
        self._source = source
        self._limit = runs
        self._with_created = created
        self._drawn: dict[str, Drawn] = {}
        self._kept: dict[str, int] = {}
        self._folded: set[str] = set()
        self._departed: _Folding | None = None
        self.folds = 0
        self.dropped: list[str] = []

    def runs(self, views: Iterable[View], series: int) -> tuple[Drawn, ...]:
        """Draw what changed (`Run.changed`); `series` bounds how many series the runs may have together."""
        views = list(views)
        own: dict[str, Drawn] = {}
        self.dropped = []
        for view in sorted(views, key=self._rank):
            run_id, over = view.run.run_id, view.run.over
            if run_id in self._folded:
                self._draw(view)
            elif len(own) < self._limit and series >= self._draw(view).series:
                own[run_id] = self._drawn[run_id]
                series -= own[run_id].series
            elif over:
                self.dropped.append(run_id)
                self._drawn.pop(run_id, None)
            else:
                self._draw(view)
                self._folded.add(run_id)
                self.folds += 1
        self._kept = {run_id: place for place, run_id in enumerate(own)}
        self._forget({view.run.run_id for view in views})
        kept = [own[view.run.run_id] for view in views if view.run.run_id in own]
        folded = [run_id for view in views if (run_id := view.run.run_id) in self._folded]
        if folded:
            folding = _Folding() if self._departed is None else self._departed.copy()
            for run_id in folded:
                folding.add(self._drawn[run_id].samples)
            kept.append(Drawn((self._source, OTHER), folding.samples(), None))
        else:
            self._departed = None
        return tuple(kept)

    def _rank(self, view: View) -> tuple[bool, int, int, str]:
        """Who is kept first: live runs that were, then other live ones, then those over; of each the newest first."""
        run = view.run
        kept = -1 if run.over else self._kept.get(run.run_id, -1)
        return run.over, kept if kept >= 0 else len(self._kept), -run.first_us, run.run_id

    def _draw(self, view: View) -> Drawn:
        run = view.run
        drawn = self._drawn.get(run.run_id)
        if drawn is None or run.changed:
            samples = [list(family.draw(view)) for family in RUN_FAMILIES]
            created = (
                run.info.begin_us / MICROSECONDS if run.info is not None and self._with_created else None
            )
            drawn = self._drawn[run.run_id] = Drawn((self._source, run.run_id), samples, created)
            run.changed = False
        run.published = True
        return drawn

    def _forget(self, known: set[str]) -> None:
        for run_id in [r for r in self._drawn if r not in known]:
            drawn = self._drawn.pop(run_id)
            if run_id in self._folded:
                self._folded.remove(run_id)
                self._departed = self._departed or _Folding()
                self._departed.add(drawn.samples, counters_only=True)


class _Folding:
    """Samples of several runs as those of one."""

    def __init__(self) -> None:
        self._values: list[dict[tuple[str, ...], Value]] = [{} for _ in RUN_FAMILIES]

    def copy(self) -> _Folding:
        other = _Folding()
        other._values = [dict(values) for values in self._values]
        return other

    def add(self, samples: Sequence[Sequence[Sample]], *, counters_only: bool = False) -> None:
        for family, of_family, values in zip(RUN_FAMILIES, samples, self._values, strict=True):
            if family.fold == "drop" or (counters_only and family.kind == "gauge"):
                continue
            for labels, value in of_family:
                key = tuple(
                    OTHER if name in _FOLDED_LABELS else label
                    for name, label in zip(family.own, labels, strict=True)
                )
                values[key] = value if key not in values else _fold(family.fold, values[key], value)

    def samples(self) -> list[list[Sample]]:
        return [list(values.items()) for values in self._values]


def _fold(fold: Fold, one: Value, other: Value) -> Value:
    if isinstance(one, Distribution) and isinstance(other, Distribution):
        counts = [a + b for a, b in zip(one.counts, other.counts, strict=True)]
        return Distribution(one.bounds, counts, one.sum + other.sum)
    assert not isinstance(one, Distribution) and not isinstance(other, Distribution)
    if fold == "max":
        return max(one, other)
    return min(one, other) if fold == "min" else one + other


def _series(value: Value) -> int:
    return len(value.counts) + 2 if isinstance(value, Distribution) else 1
